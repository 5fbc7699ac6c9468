"""One run: start everything, make faults under load, wait until all is well, judge."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import UUID

from ugc_local.background import BackgroundWork
from ugc_local.chaos.outcome import FaultRecord
from ugc_local.chaos.scene import NoEffectError
from ugc_local.chaos_api.apps import App, Call, Told
from ugc_local.chaos_api.faults import KINDS, Kind, Scene
from ugc_local.chaos_api.verdict import Verdict, everything, judge
from ugc_local.chaos_api.world import Api, Patience, World, build_world
from ugc_local.deadline import Deadline
from ugc_local.generator.tokens import token_minter

RECOVERY_S = 60.0
RSS_LIMIT_MIB = 200.0
"""What the API needs at rest, and its queue twice: in librdkafka and in Python."""
_CALM_S = 1.0
_PAUSE_S = 1.0
_PATIENCE_FAULTS = 3
_SAMPLE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    Attributes:
        directory: for data and logs; must not exist.
        faults: how many with an effect.
        apps: how many send at a time.
        per_s: requests a second of each, at the most.
        app: what gunicorn serves.
    """

    directory: Path
    faults: int
    seed: int
    apps: int = 24
    per_s: float = 6.0
    kinds: Sequence[Kind] = KINDS
    app: str = "ugc_api.wsgi:app"
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        late: answers that came later than the API's deadline and the margin.
        peak_rss_mib: of the API's worker.
        failures: whatever is not as it must be, in words.
    """

    seed: int
    faults: list[FaultRecord] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    answers: Counter[str] = field(default_factory=Counter)
    late: list[Call] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_rss_mib: float = 0.0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.verdict.missing or self.verdict.altered or self.late or self.failures)

    def counted(self) -> Counter[str]:
        """Kinds and how many faults of each had an effect."""
        return Counter(fault.kind for fault in self.faults if fault.counts)


class Memory(BackgroundWork):
    """The most that the API's worker held."""

    def __init__(self, api: Api) -> None:
        self.peak_mib = 0.0
        self._api = api
        super().__init__("memory")

    def _run(self) -> None:
        while not self._stopped.wait(_SAMPLE_S):
            self.peak_mib = max(self.peak_mib, self._api.rss_mib())


def run(
    options: Options,
    environ: Mapping[str, str],
    *,
    on_step: Callable[[str], None],
    on_fault: Callable[[FaultRecord], None],
) -> Outcome:
    """Run it.

    Raises what keeps it from starting, or a store or the API from starting again:
    ProcessExitedError, NotReadyError, KafkaClientError. All else is in the outcome.
    """
    outcome = Outcome(options.seed)
    with build_world(
        options.directory,
        environ,
        patience=options.patience,
        app=options.app,
        on_step=on_step,
    ) as world:
        told = Told(world.latest_s)
        began_s = time.monotonic()
        with ExitStack() as load, Memory(world.api) as memory:
            for app in _apps(options, world, told):
                load.enter_context(app)
            on_step(f"{options.faults} faults")
            Deadline.after(_CALM_S).poll(lambda: False)
            _rage(options, world, told, outcome, began_s, on_fault)
        outcome.peak_rss_mib = memory.peak_mib
        outcome.answers, outcome.slowest_s = told.answers, told.slowest_s
        on_step("comparing with Kafka")
        outcome.verdict = judge(told.acknowledged, everything(world.client))
        outcome.seconds = time.monotonic() - began_s
    away = {kind.name for kind in options.kinds if kind.cuts_apps_off}
    outcome.late = late_calls(told.calls, outcome.faults, away, began_s)
    outcome.failures += told.wrong
    if outcome.peak_rss_mib > RSS_LIMIT_MIB:
        outcome.failures.append(f"the API held {outcome.peak_rss_mib:.0f} MiB")
    return outcome


def late_calls(
    calls: Sequence[Call], faults: Sequence[FaultRecord], away: set[str], began_s: float
) -> list[Call]:
    """Calls that were late although the API was there all the time.

    Args:
        calls: late ones.
        faults: of the run.
        away: kinds of faults during which it is not, up to their recovery.
        began_s: the run's beginning, from which the faults' times count.
    """
    spans = [
        (began_s + fault.began_s, began_s + fault.undone_s + (fault.recovered_s or 0.0))
        for fault in faults
        if fault.kind in away
    ]
    return [
        call
        for call in calls
        if not any(
            begin < call.began_s + call.took_s and call.began_s < end for begin, end in spans
        )
    ]


def _apps(options: Options, world: World, told: Told) -> list[App]:
    mint = token_minter(world.secret, issued_at_s=int(time.time()))
    chance = Random(options.seed)  # noqa: S311 - reproducible on purpose
    viewers = [UUID(int=chance.getrandbits(128), version=4) for _ in range(options.apps)]
    return [
        App(
            world.api.url,
            viewer,
            mint(viewer),
            told=told,
            per_s=options.per_s,
            seed=options.seed * 1000 + number,
        )
        for number, viewer in enumerate(viewers)
    ]


def _rage(
    options: Options,
    world: World,
    told: Told,
    outcome: Outcome,
    began_s: float,
    on_fault: Callable[[FaultRecord], None],
) -> None:
    """Make faults one after the other, each when the last has been recovered from."""
    chance = Random(options.seed)  # noqa: S311 - reproducible on purpose
    cancelled = threading.Event()
    waiting: list[Kind] = []
    while sum(fault.counts for fault in outcome.faults) < options.faults:
        if len(outcome.faults) >= _PATIENCE_FAULTS * options.faults + 10:
            outcome.failures.append("too many faults had no effect")
            return
        waiting = waiting or chance.sample(list(options.kinds), len(options.kinds))
        kind = waiting.pop()
        worker = world.api.worker()
        record = FaultRecord(kind.name, "", time.monotonic() - began_s)
        outcome.faults.append(record)
        scene = Scene(world, told, chance, cancelled)
        try:
            with scene.undo:
                record.evidence = kind.do(scene)
        except NoEffectError as error:
            record.why_not = str(error)
        outcome.failures += scene.broken
        undone_s = time.monotonic()
        record.undone_s = undone_s - began_s
        recovered = Deadline.after(RECOVERY_S).poll(
            lambda: told.accepted_at_s > undone_s and world.api.is_ready(),  # noqa: B023
            interval_s=0.02,
        )
        if not recovered:
            outcome.failures.append(f"after “{kind.name}” nothing was accepted any more")
            on_fault(record)
            return
        record.recovered_s = told.accepted_at_s - undone_s
        if not kind.cuts_apps_off and worker != world.api.worker():
            outcome.failures.append(f"the worker did not live through “{kind.name}”")
        on_fault(record)
        Deadline.after(_PAUSE_S * chance.random()).poll(lambda: False)
