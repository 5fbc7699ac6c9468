"""Inserts what an audit found missing, as long as Kafka keeps it.

What is missing lies below the committed offset, so no consumer will ever read it again. For each
window: dead letters, then the ledger's entries, then the rows that are not there yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugc_etl.erasure import ledger_sql
from ugc_etl.operations.reread import Piece, Rework
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.records import Partition


@dataclass(slots=True)
class Repaired:
    """How many records became what."""

    rows: int = 0
    letters: int = 0
    erased: int = 0

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.letters:,} dead letters, {self.erased:,} erased"


class Repair(Rework):
    """Repairs partitions of one family."""

    __slots__ = ()

    def repair(self, partition: Partition, missing: Ranges) -> Repaired:
        """Insert what is missing of a partition. Repeatable; raises as the stores do."""
        done = Repaired()
        for piece in self.rereader.pieces(partition, missing):
            there = self.rows.covered_between(self.family, partition, piece.start, piece.end, None)
            piece = piece.without(there)  # noqa: PLW2901 - what is left of it
            self._put(piece)
            # Behind the insert: a piece has a deadline and must not wait.
            self.pace.take()
            done.rows += len(piece.rows)
            done.letters += len(piece.letters)
            done.erased += len(piece.erased)
            self.on_progress(f"{partition}: {done} up to offset {piece.end - 1:,}")
        return done

    def _put(self, piece: Piece) -> None:
        partition = piece.partition
        if piece.letters:
            self.kafka.publish(self.letters_topic, piece.letters, piece.until_s)
        if piece.erased:
            self.sql.execute(
                ledger_sql(
                    self.deployment, partition.topic_id, partition.number, sorted(piece.erased)
                )
            )
        if len(piece.rows):
            self.rows.insert(
                self.family, partition, piece.rows, place=piece.place, until_s=piece.until_s
            )
