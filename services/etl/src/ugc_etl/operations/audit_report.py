"""An audit's verdicts as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ugc_etl.operations.audit import Verdict
from ugc_etl.operations.spans import size

_COLUMNS = ("partition", "offsets", "rows", "dead letters", "erased", "no record", "expired")


def table(verdicts: Sequence[Verdict]) -> str:
    """A line for each partition, and under it what is wrong or good to know."""
    body = [_cells(verdict) for verdict in verdicts]
    head = (*_COLUMNS, "verdict")
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        # Words to the left, numbers to the right.
        words = [cells[0].ljust(widths[0])]
        numbers = [c.rjust(w) for c, w in zip(cells[1:-1], widths[1:-1], strict=True)]
        return "  ".join([*words, *numbers, cells[-1]])

    lines = [line(head)]
    for verdict, cells in zip(verdicts, body, strict=True):
        lines.append(line(cells))
        lines += [f"    {sentence}" for sentence in (*verdict.differences, *verdict.remarks)]
    return "\n".join([*lines, summary(verdicts)])


def summary(verdicts: Sequence[Verdict]) -> str:
    """One sentence."""
    totals = total(verdicts)
    wrong = sum(not verdict.exact for verdict in verdicts)
    sums = (
        f"{totals['rows']:,} rows + {totals['dead_letters']:,} dead letters"
        f" + {totals['erased']:,} erased"
    )
    offsets = (
        f"{totals['offsets']:,} offsets - {totals['no_record']:,} without a record"
        f" - {totals['expired']:,} expired"
    )
    if not wrong:
        return f"exact: {sums} = {offsets}; lost 0, duplicated 0"
    return (
        f"DIFFERS in {wrong} of {len(verdicts)} partitions: {sums}, but {offsets};"
        f" lost {totals['missing'] + totals['lost']:,}, duplicated {totals['duplicated']:,}"
    )


def total(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """The sums over all partitions."""
    sums = [_numbers(verdict) for verdict in verdicts]
    return {name: sum(numbers[name] for numbers in sums) for name in _NUMBERS}


def as_json(verdicts: Sequence[Verdict]) -> str:
    """{exact, total, partitions: [{partition, topic, topic_id, …, differences, remarks}]}."""
    report = {
        "exact": all(verdict.exact for verdict in verdicts),
        "total": total(verdicts),
        "partitions": [_object(verdict) for verdict in verdicts],
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


_NUMBERS = (
    "offsets", "rows", "dead_letters", "erased", "no_record", "expired", "missing", "lost",
    "duplicated", "in_flight",
)  # fmt: skip


def _numbers(verdict: Verdict) -> dict[str, int]:
    evidence, coverage = verdict.evidence, verdict.evidence.coverage
    return {
        "offsets": evidence.end - evidence.start,
        "rows": coverage.rows,
        "dead_letters": size(evidence.letters),
        "erased": coverage.erased,
        "no_record": size(verdict.no_record),
        "expired": size(verdict.expired),
        "missing": size(verdict.missing),
        "lost": size(verdict.lost),
        # What is there beyond once: rows above one a place, and places of two kinds.
        "duplicated": coverage.rows
        - coverage.places
        + size(verdict.row_and_letter)
        + size(coverage.erased_with_row),
        "in_flight": verdict.in_flight,
    }


def _cells(verdict: Verdict) -> tuple[str, ...]:
    evidence, numbers = verdict.evidence, _numbers(verdict)
    former = "" if evidence.current else f" of {evidence.partition.topic_id}"
    offsets = f"{evidence.start:,} to {evidence.end - 1:,}" if numbers["offsets"] else "none"
    counts = ("rows", "dead_letters", "erased", "no_record", "expired")
    return (
        f"{evidence.partition}{former}",
        offsets,
        *(f"{numbers[name]:,}" for name in counts),
        "exact" if verdict.exact else "DIFFERS",
    )


def _object(verdict: Verdict) -> dict[str, Any]:
    evidence = verdict.evidence
    ranges = {
        "missing": verdict.missing,
        "lost": verdict.lost,
        "expired": verdict.expired,
        "no_record": verdict.no_record,
        "row_and_letter": verdict.row_and_letter,
        "erased_with_row": evidence.coverage.erased_with_row,
    }
    return {
        "topic": evidence.partition.topic,
        "topic_id": evidence.partition.topic_id,
        "current": evidence.current,
        "partition": evidence.partition.number,
        "start": evidence.start,
        "end": evidence.end,
        "exact": verdict.exact,
        "counts": _numbers(verdict),
        "ranges": {name: list(found.parts) for name, found in ranges.items() if found},
        "doubled": list(_doubled(verdict)),
        "generations": {str(n): rows for n, rows in evidence.coverage.generations.items()},
        "ahead": verdict.ahead,
        "differences": list(verdict.differences),
        "remarks": list(verdict.remarks),
    }


def _doubled(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for run in verdict.evidence.coverage.doubled:
        yield {
            "start": run.start,
            "end": run.end,
            "rows": run.rows,
            "sources": [msgspec.to_builtins(source) for source in run.sources],
        }
