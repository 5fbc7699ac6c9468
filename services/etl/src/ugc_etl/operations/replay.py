"""A range read from Kafka again, as a new generation of rows; the old one goes when it is whole.

1. *building*: the new rows go in; they do not count yet (`replays` hides them from the analysts'
   counts and from audits). Marts are sets and extremes, so rows of the same content change nothing.
2. Compared: every place that has a row of an older generation has one of the new, or a record that
   cannot be taken any more, or is erased. Otherwise nothing is replaced.
3. *replacing*: from here the new rows count, and the older do not. Dead letters are put right: new
   ones kept, those of places that have a row now withdrawn. Where old and new rows say different
   things to a mart, the viewers' mart rows are made anew from the new rows.
4. The older rows are deleted. *done*.

Every step may be repeated: what is there is found by asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ugc_events import DeadLetter

from ugc_etl.erasure import ledger_sql
from ugc_etl.operations.coverage import CHUNK, Replay, open_replays
from ugc_etl.operations.dead_letters import Choice, chosen
from ugc_etl.operations.marts import AUDIENCE, MARTS, Mart, delete, rebuild
from ugc_etl.operations.ports import KafkaLog, Sql
from ugc_etl.operations.reread import Rework
from ugc_etl.operations.retention import retention_ms
from ugc_etl.ports import RefusedError
from ugc_etl.protocol.intent import Mark
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.records import Partition
from ugc_etl.schema import Deployment

MOST_LETTERS = 10_000
_AT_ONCE = 5000

_SAID = {
    "viewings": "(content_id, viewer, occurred_at, position_ms, duration_ms)",
    "audience": "(viewer, occurred_at)",
    "current_reactions": "(type, content_id, viewer, occurred_at, event_id, score, bookmarked)",
}
"""What a mart's view reads of a raw row, by mart."""


@dataclass(slots=True)
class Replayed:
    """How many records of a range became what, and the letters, which are published at the end."""

    records: int
    rows: int
    erased: int
    letters: list[DeadLetter]


class Replayer(Rework):
    """Replays ranges of one family."""

    __slots__ = ()

    def replay(self, partition: Partition, replay: Replay) -> Replayed:
        """Carry one range from wherever it stands to its end. Raises RefusedError."""
        done = self._build(partition, replay)
        if replay.state == "building":
            self._compare(replay, done)
            replay = self.declare(replay, "replacing")
        self._put_letters_right(partition, replay, done)
        for mart in MARTS:
            if mart.raw_table == self.family.table:
                self._put_mart_right(mart, replay)
        self.on_progress(f"{partition}: deleting the older rows")
        self.lease.until_s()
        delete(self.sql, self.deployment, self.family.table, replay.uncounted)
        self.declare(replay, "done")
        return done

    def abandon(self, replay: Replay) -> None:
        """Delete the new rows of a range that is building. Raises RefusedError for another."""
        if replay.state != "building":
            raise RefusedError(
                f"generation {replay.generation} counts already: go on with it, do not abandon it"
            )
        delete(self.sql, self.deployment, self.family.table, replay.uncounted)
        self.declare(replay, "abandoned")

    def declare(self, replay: Replay, state: str) -> Replay:
        """Write down the state of a range; the newest counts.

        A late one, by a command that was stopped, would undo what another has written since: the
        server refuses it.
        """
        until_s = self.lease.until_s()
        table = self.deployment.table("replays")
        same = (
            f"generation = {replay.generation} AND topic_id = toUUID('{replay.topic_id}')"
            f" AND partition = {replay.partition} AND start = {replay.start} AND end = {replay.end}"
        )
        self.sql.execute(
            f"INSERT INTO {table} (generation, topic_id, partition, start, end, state, updated_at)"
            f" SELECT {replay.generation}, toUUID('{replay.topic_id}'), {replay.partition},"
            f" {replay.start}, {replay.end}, '{state}', greatest(now64(3),"
            f" (SELECT max(updated_at) FROM {table} WHERE {same}) + toIntervalMillisecond(1))"
            f" WHERE throwIf(now() > toDateTime({until_s}), 'this command was stopped for too"
            " long') = 0"
        )
        return replace(replay, state=state)

    def _build(self, partition: Partition, replay: Replay) -> Replayed:
        """Insert the new rows that are not there yet; look at every record all the same."""
        done = Replayed(0, 0, 0, [])
        wanted = Ranges.of([(replay.start, replay.end)])
        for piece in self.rereader.pieces(partition, wanted):
            there = self.rows.covered_between(
                self.family, partition, piece.start, piece.end, replay.generation
            )
            left = piece.without(there)
            if len(left.rows) and replay.state == "building":
                self.rows.insert(
                    self.family,
                    partition,
                    left.rows,
                    place=left.place,
                    until_s=left.until_s,
                    generation=replay.generation,
                )
                # Behind the insert: a piece has a deadline and must not wait.
                self.pace.take()
            if piece.erased:
                self.sql.execute(
                    ledger_sql(
                        self.deployment, partition.topic_id, partition.number, sorted(piece.erased)
                    )
                )
            done.records += len(piece)
            done.rows += len(piece.rows)
            done.erased += len(piece.erased)
            done.letters += piece.letters
            if len(done.letters) > MOST_LETTERS:
                last = done.letters[-1]
                raise RefusedError(
                    f"more than {MOST_LETTERS:,} records of {partition} cannot be taken, up to"
                    f" offset {last.offset}: {last.field or 'the record'}: {last.detail}."
                    " Nothing was replaced"
                )
            self.on_progress(
                f"{partition}: {done.records:,} records read, {done.rows:,} rows,"
                f" {len(done.letters):,} dead letters, up to offset {piece.end - 1:,}"
                f" of {replay.end - 1:,}"
            )
        return done

    def _compare(self, replay: Replay, done: Replayed) -> None:
        """Raise RefusedError where an old row has no successor."""
        refused = {letter.offset for letter in done.letters}
        ledger = (
            f"SELECT offset FROM {self.deployment.table('erased_places')}"
            f" WHERE topic_id = toUUID('{replay.topic_id}') AND partition = {replay.partition}"
        )
        alone = Ranges.of_offsets(
            int(offset)
            for condition in self._chunks(replay)
            for (offset,) in self.sql.execute(
                f"SELECT _offset FROM {self._table} WHERE {condition} AND _offset NOT IN ({ledger})"
                f" GROUP BY _offset HAVING max(_generation) < {replay.generation}"
                f" LIMIT {MOST_LETTERS + 1}"
            )
            if int(offset) not in refused
        )
        if alone:
            start, end = alone.parts[0]
            raise RefusedError(
                f"generation {replay.generation} lacks rows that the older one has, the first at"
                f" offset {start} to {end - 1}: Kafka no longer keeps those records. Nothing was"
                " replaced; `etl replay --abandon` removes the new rows"
            )

    def _put_letters_right(self, partition: Partition, replay: Replay, done: Replayed) -> None:
        if done.letters:
            self.kafka.publish(self.letters_topic, done.letters, self.lease.until_s())
        refused = {letter.offset for letter in done.letters}
        records = [
            record
            for record in chosen(
                self.kafka,
                self.letters_topic,
                Choice(topic=partition.topic, partition=partition.number),
            )
            if record.letter is not None
            and record.letter.topic_id == partition.topic_id
            and replay.start <= record.letter.offset < replay.end
            and record.letter.offset not in refused
        ]
        for i in range(0, len(records), _AT_ONCE):
            page = records[i : i + _AT_ONCE]
            until_s = self.lease.until_s()
            offsets = [record.letter.offset for record in page if record.letter is not None]
            there = self.rows.covered(self.family, partition, offsets)
            withdrawn = [r for r in page if r.letter is not None and r.letter.offset in there]
            if withdrawn:
                self.kafka.withdraw(self.letters_topic, withdrawn, until_s)

    def _put_mart_right(self, mart: Mart, replay: Replay) -> None:
        """Make anew what old and new rows say differently, from the rows that count."""
        column, key = ("viewer", "viewer")
        if mart is AUDIENCE:
            column, key = _SLOT, "toUnixTimestamp(slot)"
        found: set[int] = set()
        for condition in self._chunks(replay):
            differing = (
                f"SELECT _offset FROM {self._table} WHERE {condition} GROUP BY _offset"
                f" HAVING uniqExact({_SAID[mart.table]}) > 1"
                f" OR max(_generation) < {replay.generation}"
            )
            rows = self.sql.execute(
                f"SELECT DISTINCT {column} FROM {self._table}"
                f" WHERE {condition} AND _offset IN ({differing})"
            )
            found.update(int(value) for (value,) in rows)
        if mart is AUDIENCE:
            found = {slot for slot in found if slot >= self._oldest_slot_s()}
        values = [str(value) for value in sorted(found)]
        for i in range(0, len(values), _AT_ONCE):
            self.on_progress(f"making {mart.table} anew, {i:,} of {len(values):,}")
            self.lease.until_s()
            listed = ", ".join(values[i : i + _AT_ONCE])
            delete(self.sql, self.deployment, mart.table, f"{key} IN ({listed})")
            rebuild(
                self.sql,
                self.deployment,
                mart,
                f"{column} IN ({listed}) AND NOT {replay.uncounted}",
            )

    def _oldest_slot_s(self) -> int:
        """Of the slots whose raw rows are all there; older ones keep what they have."""
        kept_ms = retention_ms(self.sql, self.deployment, self.family.table)
        if kept_ms is None:
            return 0
        [(now_s,)] = self.sql.execute("SELECT toUnixTimestamp(now())")
        return int(now_s) - kept_ms // 1000 + 86_400

    @property
    def _table(self) -> str:
        return self.deployment.table(self.family.table)

    def _chunks(self, replay: Replay) -> Iterator[str]:
        """The condition for the range's rows, old and new, a bounded number of offsets each."""
        for start in range(replay.start, replay.end, CHUNK):
            yield (
                f"_topic_id = toUUID('{replay.topic_id}') AND _partition = {replay.partition}"
                f" AND _offset >= {start} AND _offset < {min(start + CHUNK, replay.end)}"
                f" AND _generation <= {replay.generation}"
            )


_SLOT = "intDiv(toUnixTimestamp64Milli(occurred_at), 900000) * 900"


def next_generation(sql: Sql, deployment: Deployment, tables: Sequence[str]) -> int:
    """One above every generation that there is or was."""
    highest = [
        sql.execute(f"SELECT max(generation) FROM {deployment.table('replays')}")[0][0],
        *(
            sql.execute(f"SELECT max(_generation) FROM {deployment.table(table)}")[0][0]
            for table in tables
        ),
    ]
    return int(max(highest)) + 1


def under_way(
    sql: Sql, deployment: Deployment, partitions: Sequence[Partition]
) -> Iterator[tuple[Partition, Replay]]:
    """Replays that are not done, with their partitions, in order."""
    by_place = {(p.topic_id, p.number): p for p in partitions}
    for replay in open_replays(sql, deployment):
        partition = by_place.get((replay.topic_id, replay.partition))
        if partition is not None:
            yield partition, replay


def ranges_in_time(
    kafka: KafkaLog,
    bounds: Mapping[Partition, tuple[int, int]],
    since_ms: int | None,
    until_ms: int | None,
) -> dict[Partition, tuple[int, int]]:
    """The offsets within the bounds that cover a time window, by Kafka's own index of times."""
    starts = {p: start for p, (start, _) in bounds.items()}
    ends = {p: end for p, (_, end) in bounds.items()}
    if since_ms is not None:
        found = kafka.at_time(list(bounds), since_ms)
        starts = {p: max(starts[p], found[p]) for p in bounds}
    if until_ms is not None:
        found = kafka.at_time(list(bounds), until_ms)
        ends = {p: min(ends[p], found[p]) for p in bounds}
    return {p: (starts[p], ends[p]) for p in bounds if starts[p] < ends[p]}


def replayable(
    kafka: KafkaLog,
    group: str,
    partitions: Sequence[Partition],
    from_offset: int | None,
    to_offset: int | None,
) -> dict[Partition, tuple[int, int]]:
    """What Kafka keeps below the committed offsets, within the bounds; nothing where that is empty.

    At and above the committed offset the consumers are at work.
    """
    marks = kafka.marks(group, partitions)
    found = {}
    for partition, (first, last) in kafka.bounds(partitions).items():
        mark = marks.get(partition)
        if isinstance(mark, Mark) and mark.topic_id == partition.topic_id:
            start = max(first, from_offset or 0)
            end = min(last, mark.offset, last if to_offset is None else to_offset)
            if start < end:
                found[partition] = start, end
    return found


def told_range(replay: Replay) -> str:
    """For people."""
    return f"{replay.start:,} to {replay.end - 1:,} as generation {replay.generation}"
