"""Asks the stores what an audit rests on.

They go on working meanwhile, so the order of the questions matters: the marks first (what is below
them is settled), then dead letters, rows ahead and tables, then the marks again (what is declared
by then was declared before those rows came), then Kafka about what is uncovered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ugc_events import Family

from ugc_etl.operations.audit import Evidence, Scope
from ugc_etl.operations.coverage import Book, covered, former_topic_ids, open_replays
from ugc_etl.operations.ports import KafkaLog, Sql
from ugc_etl.operations.reading import kept_records
from ugc_etl.operations.retention import retention_ms
from ugc_etl.operations.spans import told
from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.records import Partition
from ugc_etl.schema import Deployment

Progress = Callable[[str], None]


def gather(
    *,
    kafka: KafkaLog,
    sql: Sql,
    deployment: Deployment,
    families: Mapping[str, Family],
    letters_topic: str,
    group: str,
    scope: Scope,
    now_ms: int,
    on_progress: Progress,
) -> list[Evidence]:
    """Ask Kafka and ClickHouse, and tell `on_progress` in words what is asked.

    `families` are by the topic's name with the deployment's prefix, `letters_topic` has it too;
    `group` is the consumers', whose committed offsets bound the audit; `now_ms` is for the
    retention of the tables.
    """
    partitions = [p for p in kafka.partitions(list(families)) if scope.takes(p)]
    marks = _own_marks(kafka, group, partitions)
    on_progress("reading the dead letters")
    letters = letters_by_partition(kafka, letters_topic)
    replays = open_replays(sql, deployment)
    for table in {family.table for family in families.values()}:
        _synchronize(sql, deployment, table)
    current: defaultdict[str, list[Partition]] = defaultdict(list)
    for partition in partitions:
        current[partition.topic].append(partition)
    found: list[tuple[Evidence, str]] = []
    for topic, family in families.items():
        if scope.topic not in (None, topic):
            continue
        ours = {(p.topic_id, p.number): p for p in current[topic]}
        ids = former_topic_ids(sql, deployment, family.table) | {p.topic_id for p in ours.values()}
        for topic_id in sorted(ids, key=lambda id_: (all(id_ != key[0] for key in ours), id_)):
            on_progress(f"asking {deployment.table(family.table)} about {topic}")
            found += (
                (evidence, family.table)
                for evidence in _of_topic_id(
                    sql,
                    Book(deployment, family.table, topic_id, {}, replays),
                    Partition(topic, topic_id, 0),
                    ours,
                    marks,
                    letters,
                    scope,
                )
            )
    later = _own_marks(kafka, group, partitions)
    bounds = kafka.bounds(partitions)
    kept_ms = {
        family.table: retention_ms(sql, deployment, family.table) for family in families.values()
    }
    return [
        _with_records(
            kafka,
            replace(
                evidence,
                later_mark=later.get(evidence.partition),
                kept_from=bounds[evidence.partition][0] if evidence.current else evidence.end,
            ),
            None if (kept := kept_ms[table]) is None else now_ms - kept,
            on_progress,
        )
        for evidence, table in found
    ]


def _of_topic_id(
    sql: Sql,
    empty: Book,
    any_partition: Partition,
    current: Mapping[tuple[str, int], Partition],
    marks: Mapping[Partition, Mark | Foreign],
    letters: Mapping[tuple[str, int], Ranges],
    scope: Scope,
) -> Iterator[Evidence]:
    """The evidence of all partitions of one topic id, Kafka's side of it still missing."""
    topic_id = empty.topic_id
    lasts = {
        int(number): int(last)
        for number, last in sql.execute(
            "SELECT _partition, max(_offset) FROM "
            f"{empty.deployment.table(empty.table)}"
            f" WHERE _topic_id = toUUID('{topic_id}') GROUP BY _partition"
        )
    }
    numbers = {n for id_, n in current if id_ == topic_id} | lasts.keys()
    if scope.partition is not None:
        numbers &= {scope.partition}
    bounds = {}
    for number in numbers:
        partition = any_partition._replace(number=number)
        mark = marks.get(partition)
        end = mark.offset if isinstance(mark, Mark) else lasts.get(number, -1) + 1
        start = min(scope.from_offset or 0, end)
        end = end if scope.to_offset is None else min(end, scope.to_offset)
        bounds[number] = start, max(start, end)
    if not bounds:
        return
    coverage = covered(sql, replace(empty, bounds=bounds))
    for number, (start, end) in sorted(bounds.items()):
        partition = any_partition._replace(number=number)
        yield Evidence(
            partition=partition,
            current=(topic_id, number) in current,
            start=start,
            end=end,
            mark=marks.get(partition),
            later_mark=None,
            last_row=lasts.get(number),
            coverage=coverage[number],
            letters=letters.get((topic_id, number), Ranges()).within(start, end),
            kept_from=0,
            records=Ranges(),
            outlived=Ranges(),
        )


def _with_records(
    kafka: KafkaLog, evidence: Evidence, outlived_before_ms: int | None, on_progress: Progress
) -> Evidence:
    """Look in Kafka for what is uncovered."""
    partition = evidence.partition
    records: list[tuple[int, int]] = []
    outlived: list[tuple[int, int]] = []
    wanted = evidence.uncovered.within(evidence.kept_from, evidence.end)
    if wanted:
        on_progress(f"looking in Kafka for {partition}, {told(wanted, most=3)}")
    for record in kept_records(kafka, partition, wanted):
        _extend(records, record.offset)
        if outlived_before_ms is not None and record.timestamp_ms < outlived_before_ms:
            _extend(outlived, record.offset)
    return replace(evidence, records=Ranges.of(records), outlived=Ranges.of(outlived))


def letters_by_partition(kafka: KafkaLog, letters_topic: str) -> dict[tuple[str, int], Ranges]:
    """The offsets of all dead letters that were not withdrawn, by topic id and partition."""
    places: dict[bytes, tuple[str, int, int]] = {}
    for record in kafka.letters(letters_topic):
        if record.letter is None:
            places.pop(record.key, None)
        else:
            letter = record.letter
            places[record.key] = letter.topic_id, letter.partition, letter.offset
    offsets: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for topic_id, partition, offset in places.values():
        offsets[topic_id, partition].append(offset)
    return {place: Ranges.of_offsets(found) for place, found in offsets.items()}


def _own_marks(
    kafka: KafkaLog, group: str, partitions: Sequence[Partition]
) -> dict[Partition, Mark | Foreign]:
    """The marks, without those of former topics of the same names."""
    return {
        partition: mark
        for partition, mark in kafka.marks(group, partitions).items()
        if isinstance(mark, Foreign) or mark.topic_id == partition.topic_id
    }


def _extend(ranges: list[tuple[int, int]], offset: int) -> None:
    if ranges and ranges[-1][1] == offset:
        ranges[-1] = ranges[-1][0], offset + 1
    else:
        ranges.append((offset, offset + 1))


def _synchronize(sql: Sql, deployment: Deployment, table: str) -> None:
    """A replica that lags would show gaps that are none."""
    if deployment.cluster:
        sql.execute(
            f"SYSTEM SYNC REPLICA ON CLUSTER '{deployment.cluster}' {deployment.local(table)}"
        )
