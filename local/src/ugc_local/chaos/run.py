"""One run: start everything, let the faults rage, wait until all is done, judge."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ugc_local.chaos.build import build_world
from ugc_local.chaos.kind import Kind
from ugc_local.chaos.kinds import KINDS, drawn
from ugc_local.chaos.lag import LagWatch
from ugc_local.chaos.load import Load
from ugc_local.chaos.outcome import FaultRecord, Outcome
from ugc_local.chaos.recipe import Recipe
from ugc_local.chaos.storm import Storm, StormError
from ugc_local.chaos.verdict import judge
from ugc_local.chaos.world import GROUP, Size, Timing, World
from ugc_local.deadline import Deadline

_CALM_S = 2.0
_DRAINED_S = 180.0
_AUDIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    Attributes:
        directory: for data and logs; must not exist.
        faults: how many with an effect.
        records_per_s: the load.
        kinds: those to draw from.
        at_once: how many faults there may be at a time. With one, each waits until the last has
            recovered, so that the recovery times are its own.
    """

    directory: Path
    faults: int
    seed: int
    records_per_s: int = 400
    kinds: Sequence[Kind] = KINDS
    at_once: int = 3
    timing: Timing = field(default_factory=Timing)
    size: Size = field(default_factory=Size)


def run(
    options: Options,
    environ: Mapping[str, str],
    *,
    on_step: Callable[[str], None],
    on_fault: Callable[[FaultRecord], None],
) -> Outcome:
    """Run it.

    Raises what keeps it from starting: ProcessExitedError, NotReadyError, KafkaClientError. What
    goes wrong later is in the outcome.
    """
    outcome = Outcome(options.seed)
    with build_world(
        options.directory, environ, timing=options.timing, size=options.size, on_step=on_step
    ) as world:
        recipe = Recipe(options.seed, int(time.time() * 1000), options.records_per_s)
        load = Load(world.client, recipe)
        with load, LagWatch(world.client, GROUP, load.truth) as watch:
            began_s = time.monotonic()
            storm = Storm(
                world,
                load,
                kinds=drawn(options.kinds, options.seed),
                seed=options.seed,
                now_s=lambda: time.monotonic() - began_s,
                at_once=options.at_once,
                may_begin=watch.is_recovered if options.at_once == 1 else lambda: True,
                on_fault=on_fault,
            )
            outcome.faults = storm.records
            on_step(f"{options.faults} faults")
            Deadline.after(_CALM_S).poll(lambda: False)
            try:
                storm.rage(options.faults)
            except StormError as error:
                outcome.failures.append(str(error))
            load.stop()
            if not outcome.failures:
                on_step("waiting until everything is done")
                if not _drained(world, load, watch):
                    outcome.failures.append(f"not everything was done within {_DRAINED_S:.0f} s")
            for fault in outcome.faults:
                since_s = began_s + fault.undone_s
                at_s = watch.recovered_at_s(since_s)
                fault.recovered_s = None if at_s is None else at_s - since_s
            outcome.lag_median_s = watch.median_s()
        for consumer in world.consumers:
            outcome.ended_by_themselves += consumer.ended_by_itself
            status = consumer.leave(options.timing.ready_s)
            if status:
                outcome.failures.append(f"{consumer.name} stopped with status {status}")
        on_step("comparing with the truth")
        outcome.audit_exact, outcome.audit = _audit(world)
        outcome.verdict = judge(world.client, world.admin, recipe, load.truth)
        outcome.seconds = time.monotonic() - began_s
    return outcome


def _drained(world: World, load: Load, watch: LagWatch) -> bool:
    """Wait until the group has committed every partition's end."""
    ends = {
        (topic, partition): end
        for topic in {topic for topic, _ in load.truth.partitions()}
        for partition, end in world.client.end_offsets(topic).items()
        if end
    }

    def done() -> bool:
        for consumer in world.consumers:
            consumer.mend()
        return watch.all_done(ends)

    return Deadline.after(_DRAINED_S).poll(done, interval_s=0.3)


def _audit(world: World) -> tuple[bool, str]:
    """Whether `etl audit` is content, and what it says."""
    try:
        audit = subprocess.run(
            [sys.executable, "-m", "ugc_etl", "audit"],
            env=dict(world.environ),
            cwd=world.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_AUDIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {_AUDIT_S:.0f} s"
    if audit.returncode:
        return False, f"status {audit.returncode}\n{audit.stdout}{audit.stderr}".strip()
    return True, audit.stdout.strip().splitlines()[-1]
