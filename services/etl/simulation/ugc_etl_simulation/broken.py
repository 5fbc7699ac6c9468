"""The protocol with one rule taken away at a time. The simulation must find every one.

Each entry names the hazards under which it is looked for, so that a few worlds are enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ugc_etl.protocol import Course, Intent, Mark, Rules, encode_metadata, insert_token
from ugc_etl.protocol.facts import Assigned, Evidence, Surveyed
from ugc_etl.protocol.intent import Foreign
from ugc_etl.records import Partition

from ugc_etl_simulation.build import TIMING, Build
from ugc_etl_simulation.clickhouse import Row
from ugc_etl_simulation.hazards import Hazards


@dataclass(frozen=True, slots=True)
class Planted:
    """A planted bug.

    Attributes:
        rule: what was taken away, in words.
        build: with the broken part.
        hazards: under which it matters.
    """

    rule: str
    build: Build
    hazards: Hazards


class BelievesRefusals(Rules):
    def settles_before_recutting(self) -> bool:
        return False


class DoesNotWait(Rules):
    def settles_at_s(self, intent: Intent) -> float:
        return 0.0

    def is_over(self, intent: Intent, server_now_s: float) -> bool:
        return True


class OverlooksRunning(Rules):
    def may_still_land(self, evidence: Evidence | Surveyed) -> bool:
        return False


class AnyLife(Rules):
    def is_of_this_life(self, mark: Mark, partition: Partition) -> bool:
        return True


class StartsAgain(Rules):
    def asks_the_table_first(self) -> bool:
        return False


class DoesNotGrowQuiet(Rules):
    def quiet_after_s(self, server_now_s: float) -> float:
        return server_now_s


class OneDecoder(Rules):
    def is_of_our_decoder(self, mark: Mark) -> bool:
        return True


class HastyUpgrade(Rules):
    def unknown_decoder_quiet_after_s(self, intent: Intent) -> float:
        return 0.0


class CountsRows(Rules):
    def has_landed(self, evidence: Evidence, intent: Intent) -> bool:
        return evidence.rows == intent.end - intent.start


class TrustsTheMark(Rules):
    def was_set_back(self, evidence: Evidence) -> bool:
        return False


class LeavesMarts(Rules):
    def rebuilds_marts(self) -> bool:
        return False


class ShardOfToday(Course):
    """Asks the shard of today's count, not the recorded one."""

    def _resume(self, mark: Mark, end: int, now_s: float) -> None:
        if mark.intent is not None:
            today = replace(mark.intent, shard=self._rules.shard_of(self.partition))
            mark = replace(mark, intent=today)
        super()._resume(mark, end, now_s)


class TakesForeignMarks(Course):
    """Takes an offset without metadata for a mark without an intent."""

    def _assigned(self, fact: Assigned, now_s: float) -> None:
        found = fact.found
        if isinstance(found, Foreign):
            found = Mark(
                topic_id=self.partition.topic_id, offset=found.offset, decoder=self._rules.decoder
            )
        super()._assigned(replace(fact, found=found), now_s)


def without_topic_id(partition: Partition, intent: Intent) -> str:
    return insert_token(partition._replace(topic_id=""), intent)


def in_its_range(row: Row, offset: int, intent: Intent) -> bool:
    return intent.start <= offset < intent.end


def without_intent(mark: Mark) -> str:
    return encode_metadata(replace(mark, intent=None))


def _rules(rules: type[Rules], rule: str, *hazards: str) -> Planted:
    return Planted(rule, Build(rules=rules), Hazards.only(*hazards))


_ZOMBIES = ("crashes", "stops", "rebalances", "delays", "lost_replies", "slow_commits")
_REFUSALS = (*_ZOMBIES, "views_fail", "poison")

PLANTED: dict[str, Planted] = {
    "believes-refusals": _rules(
        BelievesRefusals, "a refusal is settled before the batch is recut", *_REFUSALS
    ),
    "does-not-wait": _rules(
        DoesNotWait, "an intent is settled after its deadline by the server's clock", *_REFUSALS
    ),
    "overlooks-running": _rules(
        OverlooksRunning, "an intent is settled when none of its inserts runs", *_REFUSALS
    ),
    "rows-before-clock": Planted(
        "a read-back asks the clock, then what runs, then rows",
        Build(read_clock_first=False),
        Hazards.only(*_REFUSALS),
    ),
    "late-rows": Planted(
        "the table refuses rows after their deadline",
        Build(late_rows_refused=False),
        Hazards.only(*_ZOMBIES),
    ),
    "forgetful-in-time": Planted(
        "tokens are remembered for longer than a deadline",
        Build(window_s=TIMING.deadline_s / 4),
        Hazards.only(*_ZOMBIES),
    ),
    "forgetful-in-count": Planted(
        "tokens of all writers are remembered",
        Build(window_blocks=1),
        Hazards.only(*_ZOMBIES),
    ),
    "no-intent": Planted(
        "an intent is declared before it is sent",
        Build(encode=without_intent),
        Hazards.only(*_ZOMBIES),
    ),
    "zombie-commits": Planted(
        "the coordinator refuses commits of those that are no members",
        Build(commits_fenced=False),
        Hazards.only(*_ZOMBIES),
    ),
    "any-life": _rules(
        AnyLife, "marks of another life of the topic do not count", *_ZOMBIES, "topics_made_anew"
    ),
    "token-without-topic-id": Planted(
        "the topic id is in the token",
        Build(token=without_topic_id),
        Hazards.only("topics_made_anew", "rebalances"),
    ),
    "starts-again": _rules(
        StartsAgain, "without a mark the table is asked", *_ZOMBIES, "marks_expire"
    ),
    "does-not-grow-quiet": _rules(
        DoesNotGrowQuiet,
        "what covers a partition is asked when every deadline has passed",
        "crashes",
        "delays",
        "rebalances",
        "marks_expire",
    ),
    "trusts-the-mark": _rules(
        TrustsTheMark,
        "rows that the mark does not know of are looked for",
        *_ZOMBIES,
        "marks_set_back",
    ),
    "takes-foreign-marks": Planted(
        "an offset without metadata is nobody's",
        Build(course=TakesForeignMarks),
        Hazards.only(*_ZOMBIES, "foreign_commits"),
    ),
    "counts-rows": _rules(CountsRows, "any row proves that an intent landed", *_ZOMBIES, "erasure"),
    "inserts-erased": Planted(
        "records of erased viewers are filtered",
        Build(filters_erased=False),
        Hazards.only(*_ZOMBIES, "erasure"),
    ),
    "one-sweep": Planted(
        "erasure sweeps again after the deadlines",
        Build(second_sweep=False),
        Hazards.only(*_ZOMBIES, "erasure"),
    ),
    "one-decoder": _rules(
        OneDecoder,
        "another decoder's intent is not sent again",
        *_ZOMBIES,
        "bad_records",
        "decoder_changes",
    ),
    "hasty-upgrade": _rules(
        HastyUpgrade,
        "another decoder's deadlines are waited out",
        "delays",
        "bad_records",
        "decoder_changes",
    ),
    "late-letters": Planted(
        "the dead-letter topic refuses letters after their deadline",
        Build(late_letters_refused=False),
        Hazards.only("delays", "bad_records", "decoder_changes"),
    ),
    "letters-last": Planted(
        "letters are acknowledged before rows are sent",
        Build(letters_first=False),
        Hazards.only(*_ZOMBIES, "bad_records"),
    ),
    "leaves-marts": _rules(
        LeavesMarts, "marts are rebuilt after an unknown outcome", *_ZOMBIES, "views_fail"
    ),
    "shard-of-today": Planted(
        "an intent keeps its shard",
        Build(course=ShardOfToday),
        Hazards.only("delays", "shard_changes"),
    ),
    "not-quiet": Planted(
        "the assumption: nothing is in flight that a mark set back does not know of",
        Build(assumes_quiet=False),
        Hazards.only("delays", "rebalances", "marks_set_back"),
    ),
    "rows-of-anyone": Planted(
        "an intent's rows carry its attempt and its deadline",
        Build(is_own=in_its_range),
        Hazards.only(*_REFUSALS, "marks_set_back"),
    ),
}
"""By name."""
