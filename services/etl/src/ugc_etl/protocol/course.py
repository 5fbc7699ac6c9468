"""The state machine of one owned partition: facts in, the next action out.

It does no I/O and has no clock: `now_s` is ClickHouse's clock as the caller estimates it. The
caller performs one action at a time, tells the answer by `hear` and asks again; an action whose
answer never comes is simply asked for again. States and rules: docs/delivery-semantics.md.

One module although it is long: every transition is read beside the others it must fit.
"""

from __future__ import annotations

from dataclasses import replace

from ugc_etl.protocol.actions import (
    Action,
    Cancel,
    Commit,
    Deliver,
    ReadBack,
    RebuildMarts,
    Reread,
    Skip,
    Stop,
    Survey,
    Wait,
)
from ugc_etl.protocol.facts import (
    Assigned,
    Committed,
    Cut,
    Delivered,
    Evidence,
    Fact,
    Gone,
    Held,
    Performed,
    Refusal,
    Refused,
    Surveyed,
    Unsure,
)
from ugc_etl.protocol.hunt import Hunt
from ugc_etl.protocol.intent import Foreign, Intent, Kind, Mark
from ugc_etl.protocol.phases import (
    Cancelling,
    Checking,
    Completing,
    Declaring,
    Delivering,
    Doubt,
    Fetching,
    Idle,
    Phase,
    Rebuilding,
    Settling,
    Skipping,
    Stopped,
    Surveying,
)
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.protocol.rules import Rules
from ugc_etl.records import Partition


class Course:
    """What happens to one partition while one consumer owns it."""

    def __init__(self, partition: Partition, table: str, rules: Rules) -> None:
        """`table` takes the rows of new intents."""
        self.partition = partition
        self._table = table
        self._rules = rules
        self._phase: Phase = Stopped(f"{partition} has not been assigned")
        self._offset = 0
        self._earliest = 0
        self._intent: Intent | None = None
        self._held = False
        self._committed_at_s = 0.0
        self._hunt: Hunt | None = None
        self._covered = Ranges()
        self._recovery_attempt = 0

    # What the caller may ask.

    @property
    def phase(self) -> Phase:
        """Where the course stands."""
        return self._phase

    @property
    def offset(self) -> int:
        """All before it is done; the records from here on are what to cut the next batch from."""
        return self._phase.end if isinstance(self._phase, Completing) else self._offset

    @property
    def wants_batch(self) -> bool:
        """Whether Cut may be said."""
        return isinstance(self._phase, Idle | Completing)

    @property
    def covered(self) -> Ranges:
        """The places that a recovery leaves alone; empty outside one."""
        return self._covered

    # Facts.

    def hear(self, fact: Fact, now_s: float) -> None:
        """Take in what happened. A fact that belongs to no question of this phase is a bug."""
        match fact, self._phase:
            case Assigned(), _:
                self._assigned(fact, now_s)
            case Cut(), Idle() | Completing():
                self._cut(fact.end, now_s)
            case Committed(), Declaring(mark):
                self._committed(mark, now_s)
            case Delivered(), Delivering(intent):
                self._done(intent)
            case Unsure(), Delivering(intent, failures):
                self._phase = Delivering(intent, failures + 1)
            case Refused(), Delivering(intent):
                self._refused(intent, fact, now_s)
            case Evidence(), Checking():
                self._checked(fact, now_s)
            case Evidence(), Settling():
                self._settle(self._phase, fact, now_s)
            case Surveyed(), Surveying():
                self._surveyed(self._phase, fact, now_s)
            case Held(), Fetching(intent, settled):
                self._held = True
                if settled:
                    self._declare(intent.end, intent.kind, self._rules.next_attempt(intent), now_s)
                else:
                    self._phase = Delivering(intent)
            case Gone(earliest), Idle() | Completing():
                self._earliest = max(self._earliest, earliest)
                self._advance(self.offset)
                self._skip_to_earliest(Completing(self._earliest))
            case Gone(earliest), Fetching(intent, settled):
                self._earliest = max(self._earliest, earliest)
                if settled:
                    self._replace(intent, now_s)
                else:
                    self._doubt(intent, Doubt.GONE)
            case Performed(), Cancelling(then):
                self._phase = then
            case Performed(), Rebuilding(then=Intent() as intent):
                self._done(intent)
            case Performed(), Rebuilding(then=Completing() as then):
                self._phase = then
            case Performed(), Skipping(gaps, offset, then):
                if len(gaps) > 1:
                    self._phase = Skipping(gaps[1:], offset, then)
                else:
                    self._offset, self._phase = offset, then
            case _:
                raise ValueError(f"{fact} means nothing in {self._phase}")

    def next(self, now_s: float) -> Action | None:
        """What to do now; None: nothing, until there is a batch."""
        match self._phase:
            case Completing(end):
                self._phase = Declaring(self._mark(end, None), f"all before {end} is done")
            case Delivering(intent) if not self._may_send(intent, now_s):
                if intent.kind is Kind.REJECT:
                    # Its letter is the same whoever sends it: nothing to settle.
                    self._declare(intent.end, intent.kind, self._rules.next_attempt(intent), now_s)
                else:
                    self._doubt(intent, Doubt.UNKNOWN)
            case Idle() if self._rules.must_refresh(self._committed_at_s, now_s):
                self._phase = Declaring(self._mark(self._offset, None), "lest the mark expire")
            case _:
                pass
        return self._action(now_s)

    def _action(self, now_s: float) -> Action | None:
        generation = self._rules.generation
        match self._phase:
            case Declaring(mark, reason):
                return Commit(mark, reason)
            case Delivering(intent, failures):
                again = f"unknown {failures} times, the same token again" if failures else ""
                return Deliver(intent, self._skip(intent), again or "declared")
            case Checking():
                return ReadBack(self._intent, self._offset, generation, "taken over")
            case Settling(_, doubt, until_s) if now_s < until_s:
                return Wait(until_s, doubt.value)
            case Settling(intent, doubt):
                return ReadBack(intent, intent.start, generation, doubt.value)
            case Fetching(intent, settled):
                return Reread(
                    intent.start,
                    intent.end,
                    "it did not land and is declared anew" if settled else "to send it again",
                )
            case Surveying(_, until_s, why) if now_s < until_s:
                return Wait(until_s, why)
            case Surveying(why=why):
                return Survey(self._offset, generation, why)
            case Cancelling():
                return Cancel(generation, "inserts still run that must not commit after the answer")
            case Rebuilding(start, end):
                return RebuildMarts(start, end, "rows without an acknowledgement")
            case Skipping(gaps):
                return Skip(*gaps[0], "Kafka has deleted them unread")
            case Stopped(sentence):
                return Stop(sentence)
            case _:
                return None

    # Taking over.

    def _assigned(self, fact: Assigned, now_s: float) -> None:
        found = fact.found
        self._earliest = fact.earliest
        self._committed_at_s = now_s
        if isinstance(found, Foreign):
            self._phase = Stopped(
                f"{self.partition}: the committed offset {found.offset} is not ours: "
                f"{found.sentence}. Delete the group's offset of this partition; the table is "
                "asked then where to go on"
            )
        elif found is None or not self._rules.is_of_this_life(found, self.partition):
            self._intent = None
            if self._rules.asks_the_table_first():
                self._survey(None, now_s, "there is no mark")
            else:
                self._offset, self._phase = fact.earliest, Idle()
        elif self._rules.was_truncated(found, fact.end):
            self._phase = Stopped(
                f"{self.partition}: the log ends at {fact.end}, and the mark says that more was "
                f"read ({found.offset}{f' to {found.intent.end}' if found.intent else ''}): Kafka "
                "has lost records that it had acknowledged, and gives their offsets to others"
            )
        else:
            self._resume(found, fact.end, now_s)

    def _resume(self, mark: Mark, end: int, now_s: float) -> None:
        self._offset = mark.offset
        self._intent = intent = mark.intent
        if mark.hunt_until is not None and mark.offset < mark.hunt_until:
            size = (intent.end if intent else mark.hunt_until) - mark.offset
            self._hunt = Hunt(mark.hunt_until, size, intent.attempt if intent else 0)
        if not self._rules.is_of_our_decoder(mark):
            quiet_at_s = self._rules.unknown_decoder_quiet_after_s(intent) if intent else now_s
            self._survey(quiet_at_s, quiet_at_s, f"the mark is of decoder {mark.decoder}")
        elif mark.recover_until is not None and mark.offset < mark.recover_until:
            quiet_at_s = intent.insert_by_s + 1.0 if intent else now_s
            self._survey(quiet_at_s, quiet_at_s, "a recovery was under way")
        elif self._rules.may_have_been_set_back(mark, end):
            self._phase = Checking()
        else:
            self._phase = Idle()

    def _checked(self, evidence: Evidence, now_s: float) -> None:
        intent = self._intent
        if self._rules.was_set_back(evidence):
            self._set_back(evidence, now_s)
        elif intent is None:
            if self._rules.may_still_land(evidence):
                self._phase = Cancelling(Checking())
            elif self._earliest > self._offset:
                self._skip_to_earliest(Completing(self._earliest))
            else:
                self._phase = Idle()
        elif self._earliest > intent.start:
            self._doubt(intent, Doubt.GONE)
        elif self._may_send(intent, now_s) or intent.kind is Kind.REJECT:
            self._phase = Fetching(intent, settled=False)
        else:
            self._doubt(intent, Doubt.UNKNOWN)

    def _set_back(self, evidence: Evidence, now_s: float) -> None:
        quiet_at_s = self._rules.quiet_after_s(evidence.server_now_s)
        left_s = quiet_at_s - evidence.server_now_s
        self._survey(quiet_at_s, now_s + left_s, "the mark is older than what was done")

    # Batches.

    def _cut(self, end: int, now_s: float) -> None:
        if isinstance(self._phase, Completing):
            self._advance(self._phase.end)
        self._held = True
        self._declare_next(end, now_s)

    def _declare_next(self, end: int, now_s: float) -> None:
        kind, attempt = Kind.NORMAL, 0
        if self._recovering:
            kind, attempt = Kind.RECOVERY, self._recovery_attempt
        if self._hunt is not None and self._offset >= self._hunt.until:
            self._hunt = None
        if self._hunt is not None:
            attempt = max(attempt, self._hunt.attempt)
            kind = Kind.REJECT if self._hunt.condemns(self._offset) else kind
            end = self._hunt.clamp(self._offset, end)
        self._declare(end, kind, attempt, now_s)

    def _declare(self, end: int, kind: Kind, attempt: int, now_s: float) -> None:
        intent = Intent(
            start=self._offset,
            end=end,
            attempt=attempt,
            shard=self._rules.shard_of(self.partition),
            table=self._table,
            decoder=self._rules.decoder,
            insert_by_s=self._rules.insert_by_s(now_s, hunting=self._hunt is not None),
            kind=kind,
            generation=self._rules.generation,
        )
        self._phase = Declaring(
            self._mark(self._offset, intent), f"declares [{self._offset}, {end})"
        )

    def _committed(self, mark: Mark, now_s: float) -> None:
        self._committed_at_s = now_s
        self._advance(mark.offset)
        self._intent = mark.intent
        self._phase = Delivering(mark.intent) if mark.intent else Idle()

    def _done(self, intent: Intent) -> None:
        self._held = False
        if self._hunt is not None:
            self._hunt = self._hunt.succeeded(intent)
        self._phase = Completing(intent.end)
        if self._earliest > intent.end:
            self._advance(intent.end)
            self._skip_to_earliest(Completing(self._earliest))

    def _advance(self, offset: int) -> None:
        self._offset = offset
        self._covered = self._covered.within(offset, self._covered.end)

    def _refused(self, intent: Intent, fact: Refused, now_s: float) -> None:
        if fact.why is Refusal.OTHER:
            self._phase = Stopped(f"{self.partition}: {fact.sentence}")
        elif fact.why is Refusal.LATE:
            self._doubt(intent, Doubt.UNKNOWN)
        elif self._rules.settles_before_recutting():
            self._doubt(intent, Doubt.REFUSED)
        else:
            self._recut(intent, now_s)

    # Settling.

    def _doubt(self, intent: Intent, doubt: Doubt) -> None:
        self._phase = Settling(intent, doubt, self._rules.settles_at_s(intent))

    def _settle(self, phase: Settling, evidence: Evidence, now_s: float) -> None:
        intent = phase.intent
        if not self._rules.is_over(intent, evidence.server_now_s):
            left_s = self._rules.settles_at_s(intent) - evidence.server_now_s
            self._phase = replace(phase, until_s=now_s + left_s)
        elif self._rules.may_still_land(evidence):
            self._phase = Cancelling(phase)
        elif intent.kind is Kind.RECOVERY:
            if phase.doubt is Doubt.REFUSED:
                self._hunt = Hunt.begin(intent, self._rules.next_attempt(intent), self._hunt)
            # Nothing can land any more: what is missing now stays missing.
            self._survey(evidence.server_now_s, now_s, "a recovery was under way")
        elif self._rules.was_set_back(evidence):
            self._set_back(evidence, now_s)
        elif self._rules.has_landed(evidence, intent):
            if self._rules.rebuilds_marts():
                self._phase = Rebuilding(intent.start, intent.end, intent)
            else:
                self._done(intent)
        elif phase.doubt is Doubt.REFUSED:
            self._recut(intent, now_s)
        else:
            self._replace(intent, now_s)

    def _replace(self, intent: Intent, now_s: float) -> None:
        """The intent never lands: declare what Kafka still has of it anew."""
        if self._earliest >= intent.end:
            self._skip_to_earliest(Completing(self._earliest))
        elif self._earliest > intent.start:
            rest = replace(intent, start=self._earliest)
            self._skip_to_earliest(Fetching(rest, settled=True))
        elif self._held:
            self._declare(intent.end, intent.kind, self._rules.next_attempt(intent), now_s)
        else:
            self._phase = Fetching(intent, settled=True)

    def _recut(self, intent: Intent, now_s: float) -> None:
        """The intent was refused and never lands: find the record at fault."""
        self._hunt = Hunt.begin(intent, self._rules.next_attempt(intent), self._hunt)
        self._declare_next(intent.end, now_s)

    def _skip_to_earliest(self, then: Completing | Fetching) -> None:
        gaps = self._covered.missing(self._offset, self._earliest).parts
        if gaps:
            self._phase = Skipping(gaps, self._earliest, then)
        else:
            self._offset, self._phase = max(self._offset, self._earliest), then

    # Recovering.

    def _survey(self, quiet_at_s: float | None, until_s: float, why: str) -> None:
        self._held = False
        self._phase = Surveying(quiet_at_s, until_s, why)

    def _surveyed(self, phase: Surveying, found: Surveyed, now_s: float) -> None:
        nothing = not found.covered and not found.running
        if phase.quiet_at_s is None and nothing:
            self._skip_to_earliest(Completing(self._earliest))
        elif phase.quiet_at_s is None or found.server_now_s < phase.quiet_at_s:
            quiet_at_s = phase.quiet_at_s or self._rules.quiet_after_s(found.server_now_s)
            self._survey(quiet_at_s, now_s + quiet_at_s - found.server_now_s, phase.why)
        elif self._rules.may_still_land(found):
            self._phase = Cancelling(phase)
        else:
            self._recover(found)

    def _recover(self, found: Surveyed) -> None:
        covered, start = found.covered, self._offset
        self._covered = covered
        self._recovery_attempt = self._rules.recovery_attempt(found, self._intent)
        self._intent = None
        from_kafka = max(start, self._earliest)
        missing = covered.missing(from_kafka, max(covered.end, from_kafka)).parts
        offset = missing[0][0] if missing else max(covered.end, from_kafka)
        then: Completing | Rebuilding = Completing(offset)
        if covered and self._rules.rebuilds_marts():
            then = Rebuilding(start, covered.end, Completing(offset))
        gaps = covered.missing(start, self._earliest).parts
        if gaps:
            self._phase = Skipping(gaps, offset, then)
        else:
            self._offset, self._phase = offset, then

    # Parts.

    @property
    def _recovering(self) -> bool:
        return self._offset < self._covered.end

    def _skip(self, intent: Intent) -> Ranges:
        if intent.kind is Kind.RECOVERY or (intent.kind is Kind.REJECT and self._recovering):
            return self._covered.within(intent.start, intent.end)
        return Ranges()

    def _may_send(self, intent: Intent, now_s: float) -> bool:
        return self._rules.may_send(intent, now_s, hunting=self._hunt is not None)

    def _mark(self, offset: int, intent: Intent | None) -> Mark:
        hunt_until = self._hunt.until if self._hunt else None
        recover_until = self._covered.end
        return Mark(
            topic_id=self.partition.topic_id,
            offset=offset,
            decoder=self._rules.decoder,
            intent=intent,
            recover_until=recover_until if offset < recover_until else None,
            hunt_until=hunt_until if hunt_until is not None and offset < hunt_until else None,
        )
