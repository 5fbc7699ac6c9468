"""What a running stack is like: gathered from its processes, its probes and its stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
from ugc_events import FAMILIES, DeadLetter
from ugc_events.registry import DEAD_LETTERS_TOPIC

from ugc_local.credentials import ADMIN
from ugc_local.health import probe
from ugc_local.kafka.client import KafkaClient, KafkaClientError
from ugc_local.kafka.distribution import KAFKA_VERSION
from ugc_local.options import MIN_FREE_BYTES
from ugc_local.process import tree_memory_bytes
from ugc_local.stack import ETL_GROUP
from ugc_local.state import ProcessRecord, is_busy
from ugc_local.tools.query import AskError, ask
from ugc_local.tools.running import RunningStack


class ProcessStatus(msgspec.Struct, frozen=True):
    """A process; `health` is what its probe said."""

    name: str
    running: bool
    healthy: bool
    health: str
    pid: int
    address: str
    memory_bytes: int
    uptime_s: float


class FamilyStatus(msgspec.Struct, frozen=True):
    """A family of events. What could not be asked is None.

    Attributes:
        records: that Kafka still keeps.
        rows: of the raw table.
        lag: offsets that the ETL has still to pass.
        dead_letters: records that the ETL could not take.
    """

    name: str
    records: int | None = None
    rows: int | None = None
    lag: int | None = None
    dead_letters: int | None = None


class StackStatus(msgspec.Struct, frozen=True):
    """All of it; healthy when there is no problem."""

    data_dir: str
    healthy: bool
    problems: list[str]
    kafka_version: str
    clickhouse_version: str
    clickhouse_kind: str
    disk_free_bytes: int
    processes: list[ProcessStatus]
    families: list[FamilyStatus]


@dataclass(frozen=True, slots=True)
class _Probe:
    address: str
    ask: Callable[[], tuple[bool, str]]


def gather(stack: RunningStack, data_dir: Path, now_s: float) -> StackStatus:
    """Ask everything, each with a time limit. `now_s`: seconds since the epoch."""
    ends = stack.state.endpoints
    kafka = KafkaClient(ends.kafka_bootstrap)
    probes = _probes(stack, kafka)
    records = stack.state.processes
    alive = {record.name for record in stack.state.alive()}
    with ThreadPoolExecutor(len(records)) as pool:
        answers = pool.map(lambda record: probes[record.name].ask(), records)
        found = [
            _process(record, probes[record.name].address, answer, record.name in alive, now_s)
            for record, answer in zip(records, answers, strict=True)
        ]
    well = {process.name for process in found if process.healthy}
    rows, version = _asked_of_clickhouse(stack) if "clickhouse" in well else ({}, "")
    families, trouble = _families(kafka if "kafka" in well else None, rows)
    free = shutil.disk_usage(data_dir).free
    problems = [*problems_of(found, free), *trouble]
    if not stack.state.complete and not is_busy(data_dir):
        problems.append("its start was cut short: ugc up starts it anew; the data are kept")
    return StackStatus(
        data_dir=str(data_dir),
        healthy=not problems,
        problems=problems,
        kafka_version=KAFKA_VERSION,
        clickhouse_version=version,
        clickhouse_kind=ends.clickhouse_kind,
        disk_free_bytes=free,
        processes=found,
        families=families,
    )


def _probes(stack: RunningStack, kafka: KafkaClient) -> dict[str, _Probe]:
    ends = stack.state.endpoints

    def broker() -> tuple[bool, str]:
        return (True, "ready") if kafka.is_ready(3.0) else (False, "no answer within 3 s")

    def of_url(url: str, path: str) -> _Probe:
        return _Probe(url, lambda: probe(url + path))

    probes = {
        "clickhouse": of_url(ends.clickhouse_http_url, "/ping"),
        "kafka": _Probe(ends.kafka_bootstrap, broker),
        "api": of_url(ends.api_url, "/readyz"),
    }
    for number, url in enumerate(ends.etl_metrics_urls, 1):
        probes[f"etl-{number}"] = _Probe(url, lambda url=url: _lively(url))  # type: ignore[misc]
    quiet = _Probe("", lambda: (True, "running"))
    return {record.name: probes.get(record.name, quiet) for record in stack.state.processes}


def _lively(url: str) -> tuple[bool, str]:
    """An ETL consumer whose loop turns, and that lacks nothing."""
    alive, sentence = probe(url + "/healthz")
    return probe(url + "/readyz") if alive else (alive, sentence)


def _process(
    record: ProcessRecord, address: str, answer: tuple[bool, str], runs: bool, now_s: float
) -> ProcessStatus:
    process = record.identity.process() if runs else None
    memory_bytes, uptime_s = 0, 0.0
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            memory_bytes = tree_memory_bytes(process)
            uptime_s = max(0.0, now_s - process.create_time())
    healthy, health = answer if runs else (False, f"has ended: ugc logs {record.name} says why")
    return ProcessStatus(
        name=record.name,
        running=runs,
        healthy=healthy,
        health="ready" if healthy and health in {"ok", "Ok."} else health,
        pid=record.pid,
        address=address,
        memory_bytes=memory_bytes,
        uptime_s=uptime_s,
    )


def _asked_of_clickhouse(stack: RunningStack) -> tuple[dict[str, int], str]:
    """Rows by family, and the server's version."""
    counts = " UNION ALL ".join(
        f"SELECT '{family.name}' AS name, count() AS n FROM ugc.{family.table}"
        for family in FAMILIES
    )
    user = ADMIN, stack.credentials.admin_password
    url = stack.state.endpoints.clickhouse_http_url

    def rows(sql: str) -> list[dict[str, str]]:
        answer = b"".join(ask(url, user, sql, default_format="JSONEachRow"))
        return [json.loads(line) for line in answer.splitlines()]

    try:
        version = str(rows("SELECT version() AS v")[0]["v"])
        return {row["name"]: int(row["n"]) for row in rows(counts)}, version
    except AskError:
        return {}, ""


def _families(
    kafka: KafkaClient | None, rows: dict[str, int]
) -> tuple[list[FamilyStatus], list[str]]:
    trouble: list[str] = []
    found = []
    dead: dict[str, int] | None = None
    with suppress(KafkaClientError):
        dead = _dead_letters(kafka) if kafka else None
    for family in FAMILIES:
        records = lag = None
        if kafka:
            try:
                ranges = kafka.ranges(family.topic)
                records = sum(end - start for start, end in ranges.values())
                lag = sum(kafka.lag(ETL_GROUP, family.topic).values())
            except KafkaClientError as error:
                trouble.append(f"{family.name}: {error}")
        found.append(
            FamilyStatus(
                name=family.name,
                records=records,
                rows=rows.get(family.name),
                lag=lag,
                dead_letters=None if dead is None else dead.get(family.topic, 0),
            )
        )
    return found, trouble


def _dead_letters(kafka: KafkaClient) -> dict[str, int]:
    """Dead letters by the topic they came from; a repeated one counts once."""
    places: set[bytes] = set()
    counts: dict[str, int] = {}
    for record in kafka.read_all(DEAD_LETTERS_TOPIC):
        if record.key is None or record.value is None or record.key in places:
            continue
        places.add(record.key)
        try:
            topic = DeadLetter.from_record(record.value, record.headers).topic
        except (KeyError, ValueError):
            continue  # somebody else's record
        counts[topic] = counts.get(topic, 0) + 1
    return counts


def problems_of(processes: list[ProcessStatus], free_bytes: int) -> list[str]:
    """What is wrong, in sentences, and what to do about it."""
    problems = [f"{p.name} {p.health}" for p in processes if not p.running]
    if problems:
        problems.append("ugc up starts again what is missing; the data are kept")
    problems += [f"{p.name}: {p.health}" for p in processes if p.running and not p.healthy]
    if free_bytes < MIN_FREE_BYTES:
        problems.append(
            f"the disk has {free_bytes >> 20} MiB left: free some; on a full one ClickHouse takes "
            "no rows, which then wait in Kafka, and Kafka may stop"
        )
    return problems
