"""Rows of `ugc.views` with the shape of a cinema's evenings, for the measurements of this folder.

Sessions start through the day, films are Zipf-popular, a player ticks every 30 s, sessions overlap;
rows arrive in the order of the server's clock and are dealt to partitions by viewer and film, with
an offset that counts up, as Kafka does. Deterministic in `seed`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY_MS = 86_400_000
TICK_MS = 30_000

ROW = np.dtype(
    [
        (name, "<u8")
        for name in (
            *("event_hi", "event_lo", "occurred_at", "received_at", "user_hi", "user_lo"),
            *("session_hi", "session_lo", "content_hi", "content_lo", "viewer", "offset"),
        )
    ]
    + [(name, "<u4") for name in ("position_ms", "duration_ms", "device", "partition", "batch")]
)
"""A row as it lies in the RowBinary file."""

STRUCTURE = (
    "event_id UUID, occurred_ms UInt64, received_ms UInt64, user_id UUID, session_id UUID,"
    " content_id UUID, viewer UInt64, _offset UInt64, position_ms UInt32, duration_ms UInt32,"
    " device UInt32, _partition UInt32, batch UInt32"
)
"""The same for ClickHouse's `file` table function."""


def write_rows(
    path: Path, *, rows: int, batch_rows: int, partitions: int, seed: int, days: int = 3
) -> int:
    """Write about `rows` rows as RowBinary in order of arrival; return the number of batches."""
    table = _sessions(np.random.default_rng(seed), rows, days)
    table = table[np.argsort(table["received_at"], kind="stable")][:rows]
    table["partition"] = (table["user_lo"] ^ table["content_lo"]) % partitions
    batches = 0
    for partition in range(partitions):
        mine = np.flatnonzero(table["partition"] == partition)
        table["offset"][mine] = np.arange(len(mine))
        table["batch"][mine] = (np.arange(len(mine)) // batch_rows) * partitions + partition
        batches = max(batches, int(table["batch"][mine].max(initial=0)) + 1)
    table[np.argsort(table["batch"], kind="stable")].tofile(path)
    return batches


def _sessions(rng: np.random.Generator, rows: int, days: int) -> npt.NDArray[np.void]:
    films, viewers = 2_000, max(rows // 150, 100)
    mean_ticks = 70
    sessions = rows // mean_ticks + 1000
    popularity = 1 / np.arange(1, films + 1) ** 1.05
    film = rng.choice(films, sessions, p=popularity / popularity.sum())
    viewer = rng.integers(0, viewers, sessions)
    minutes = rng.integers(20, 180, films)
    duration = minutes[film] * 60_000 + rng.integers(0, 60_000, films)[film]
    watched = np.minimum(1.0, rng.beta(1.2, 0.7, sessions) * 1.1)
    ticks = np.maximum((duration * watched / TICK_MS).astype(np.int64), 1)
    start = START_MS + rng.integers(0, days, sessions) * DAY_MS
    evening = rng.normal(20 * 3_600_000, 3 * 3_600_000, sessions)
    start = start + np.clip(evening, 0, DAY_MS - 1).astype(np.int64)

    session = np.repeat(np.arange(sessions), ticks)
    first = np.concatenate([[0], np.cumsum(ticks)[:-1]])
    tick = np.arange(len(session)) - first[session]
    table = np.zeros(len(session), ROW)
    jitter = rng.integers(-200, 200, len(session))
    table["occurred_at"] = start[session] + tick * TICK_MS + jitter
    late = np.where(rng.random(len(session)) < 0.01, rng.integers(0, 3_600_000, len(session)), 0)
    table["received_at"] = table["occurred_at"] + rng.integers(20, 900, len(session)) + late
    table["position_ms"] = np.minimum(tick * TICK_MS + TICK_MS, duration[session])
    table["duration_ms"] = duration[session]
    table["device"] = rng.integers(0, 5, sessions)[session]
    for name, owner in (("user", viewer), ("session", np.arange(sessions)), ("content", film)):
        high, low = (rng.integers(0, 2**63, owner.max() + 1, dtype=np.uint64) for _ in "hl")
        table[f"{name}_hi"], table[f"{name}_lo"] = high[owner][session], low[owner][session]
    table["viewer"] = rng.integers(0, 2**63, viewers, dtype=np.uint64)[viewer][session]
    # UUIDv7: 48 bits of milliseconds, the rest random.
    random = rng.integers(0, 2**12, len(session), dtype=np.uint64)
    table["event_hi"] = (table["occurred_at"] << np.uint64(16)) | np.uint64(0x7000) | random
    table["event_lo"] = rng.integers(0, 2**63, len(session), dtype=np.uint64)
    return table
