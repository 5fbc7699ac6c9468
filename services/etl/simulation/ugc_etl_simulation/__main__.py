"""Worlds by the thousand, on every core; a failure prints the command that replays it.

python -m ugc_etl_simulation [--steps 2000000] [--seed 0] [--jobs 2] [--report FILE]
python -m ugc_etl_simulation --replay SEED [--planted NAME]
python -m ugc_etl_simulation --replay-commands SEED
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ugc_etl_simulation import commands
from ugc_etl_simulation.broken import PLANTED
from ugc_etl_simulation.build import Build
from ugc_etl_simulation.clickhouse import Violation
from ugc_etl_simulation.hazards import Hazards
from ugc_etl_simulation.seeds import SEEDS
from ugc_etl_simulation.world import World

_HERE = "services/etl/simulation"
_CHUNK = 100
_COMMANDS = 10
"""Worlds of commands beside a chunk."""
_COMMAND_SEEDS = 400
"""In so many a bug planted in the lease is found."""
_ALONE_SHARE = 4
"""One chunk in so many has only the hazards that its seed draws, so that each is met alone too."""


@dataclass(slots=True)
class Tally:
    """What a number of worlds came to."""

    steps: int = 0
    seeds: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    command_worlds: int = 0
    command_violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's."""
        self.steps += other.steps
        self.seeds += other.seeds
        self.violations += other.violations
        self.command_worlds += other.command_worlds
        self.command_violations += other.command_violations


def hazards_of(seed: int) -> Hazards:
    """All of them, or for some seeds a few."""
    if seed // _CHUNK % _ALONE_SHARE:
        return Hazards()
    names = Hazards.names()
    return Hazards.only(*(names[(seed * 7 + i * i) % len(names)] for i in range(6)))


def run_seeds(start: int, end: int) -> Tally:
    """Run the worlds of these seeds."""
    tally = Tally()
    for seed in range(start, end):
        world = World(seed, hazards_of(seed), Build())
        try:
            world.run()
        except Violation as violation:
            tally.violations.append((seed, str(violation)))
        tally.steps += world.steps
        tally.seeds += 1
    return tally


def run_commands(start: int, end: int) -> Tally:
    """Run the worlds of commands of these seeds."""
    tally = Tally(command_worlds=end - start)
    for seed in range(start, end):
        if (sentence := _violated(seed, commands.Rules())) is not None:
            tally.command_violations.append((seed, sentence))
    return tally


def run_chunk(start: int) -> Tally:
    """A chunk of worlds from this seed on, and worlds of commands beside it."""
    tally = run_seeds(start, start + _CHUNK)
    first = start // _CHUNK * _COMMANDS
    tally.add(run_commands(first, first + _COMMANDS))
    return tally


def finds_in_commands(name: str) -> str | None:
    """What the worlds of commands say of a bug planted in the lease; None: nothing."""
    found = (_violated(seed, commands.PLANTED[name]) for seed in range(_COMMAND_SEEDS))
    return next((sentence for sentence in found if sentence is not None), None)


def _violated(seed: int, rules: commands.Rules) -> str | None:
    try:
        commands.World(seed, rules).run()
    except Violation as violation:
        return str(violation)
    return None


def finds(name: str) -> str | None:
    """What the simulation says of a planted bug; None where it finds nothing."""
    planted = PLANTED[name]
    try:
        World(SEEDS[name], planted.hazards, planted.build).run()
    except Violation as violation:
        return str(violation)
    return None


def main() -> int:
    """Run what the arguments say; the exit code is 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m ugc_etl_simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one world with its trace")
    parser.add_argument("--replay-commands", type=int, metavar="SEED", help="one of commands")
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug")
    parser.add_argument("--search", choices=sorted(PLANTED), help="find a seed for this bug")
    arguments = parser.parse_args()
    if arguments.search is not None:
        return _search(arguments.search, arguments.seed)
    if arguments.replay_commands is not None:
        print(sentence := _violated(arguments.replay_commands, commands.Rules()) or "no violation")
        return int(sentence != "no violation")
    if arguments.replay is not None:
        return _replay(arguments.replay, arguments.planted)
    return _run(arguments.steps, arguments.seed, arguments.jobs, arguments.report)


def _replay(seed: int, name: str | None) -> int:
    hazards, build = hazards_of(seed), Build()
    if name is not None:
        hazards, build = PLANTED[name].hazards, PLANTED[name].build
    try:
        World(seed, hazards, build, print).run()
    except Violation as violation:
        print(violation)
        return 1
    print("no violation")
    return 0


def _search(name: str, seed: int) -> int:
    planted = PLANTED[name]
    while True:
        try:
            World(seed, planted.hazards, planted.build).run()
        except Violation as violation:
            print(f"{seed}: {violation}")
            return 0
        seed += 1


def _run(steps: int, seed: int, jobs: int, report: Path | None) -> int:
    started_s = time.monotonic()
    tally = Tally()
    chunks = iter(range(seed, sys.maxsize, _CHUNK))
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(run_chunk, next(chunks)) for _ in range(jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                tally.add(future.result())
                if tally.steps < steps:
                    running.add(pool.submit(run_chunk, next(chunks)))
        found = dict(zip(SEEDS, pool.map(finds, SEEDS), strict=True))
        lease = pool.map(finds_in_commands, commands.PLANTED)
        found_in_commands = dict(zip(commands.PLANTED, lease, strict=True))
    seconds = time.monotonic() - started_s
    for name, what in found.items():
        print(f"  {name:24} {PLANTED[name].rule:68} {'found' if what else 'NOT FOUND'}")
    for name, what in found_in_commands.items():
        print(f"  commands: {name:14} {'':68} {'found' if what else 'NOT FOUND'}")
    for failed, sentence in tally.violations:
        print(f"seed {failed}: {sentence}")
        print(f"  PYTHONPATH={_HERE} python -m ugc_etl_simulation --replay {failed}")
    for failed, sentence in tally.command_violations:
        print(f"commands, seed {failed}: {sentence}")
        print(f"  PYTHONPATH={_HERE} python -m ugc_etl_simulation --replay-commands {failed}")
    planted_found = sum(what is not None for what in found.values())
    command_planted_found = sum(what is not None for what in found_in_commands.values())
    result = {
        "steps": tally.steps,
        "seeds": tally.seeds,
        "command_worlds": tally.command_worlds,
        "violations": len(tally.violations) + len(tally.command_violations),
        "planted_found": planted_found,
        "planted": len(found),
        "command_planted_found": command_planted_found,
        "command_planted": len(found_in_commands),
        "seconds": round(seconds, 1),
    }
    print("  ".join(f"{name} {value}" for name, value in result.items()))
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(result, indent=2) + "\n")
    missed = planted_found < len(found) or command_planted_found < len(found_in_commands)
    return 1 if result["violations"] or missed else 0


if __name__ == "__main__":
    sys.exit(main())
