"""A stack's status as a page of text."""

from __future__ import annotations

from rich.markup import escape

from ugc_local.terminal import columns
from ugc_local.tools.status import ProcessStatus, StackStatus

_MIB = 1 << 20


def status_text(status: StackStatus) -> str:
    """Tables of processes and families, versions, and what is wrong; rich markup, no wrapping."""
    processes = columns(
        [
            ("process", "state", "pid", "memory", "up for", "address", "health"),
            *map(_process, status.processes),
        ],
        right=frozenset({2, 3, 4}),
    )
    families = columns(
        [
            ("family", "records", "rows", "ETL lag", "dead letters"),
            *(
                (f.name, _count(f.records), _count(f.rows), _count(f.lag), _count(f.dead_letters))
                for f in status.families
            ),
        ],
        right=frozenset({1, 2, 3, 4}),
    )
    clickhouse = status.clickhouse_version or "version unknown"
    versions = (
        f"Kafka {status.kafka_version}, ClickHouse {clickhouse} ({status.clickhouse_kind}), "
        f"{status.disk_free_bytes // _MIB:,} MiB free in {status.data_dir}"
    )
    lines = [f"[bold]{escape(processes[0])}[/]"]
    for text, process in zip(processes[1:], status.processes, strict=True):
        colour = "green" if process.healthy else "red"
        lines.append(f"[{colour}]{escape(text)}[/]")
    lines += ["", f"[bold]{escape(families[0])}[/]", *map(escape, families[1:]), ""]
    lines.append(escape(versions))
    if status.healthy:
        lines.append("[green]all is well[/]")
    lines += [f"[red]{escape(problem)}[/]" for problem in status.problems]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Two of days, hours, minutes, seconds: `3 d 4 h`, `12 s`."""
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    left, parts = int(seconds), []
    for name, size in units:
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def _process(process: ProcessStatus) -> tuple[str, ...]:
    if not process.running:
        return (process.name, "ended", str(process.pid), "-", "-", process.address, process.health)
    return (
        process.name,
        "running",
        str(process.pid),
        f"{process.memory_bytes / _MIB:,.0f} MiB",
        duration(process.uptime_s),
        process.address,
        process.health,
    )


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
