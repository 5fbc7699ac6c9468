"""Some seconds of simulation: the protocol holds, and each rule is needed."""

import pytest
from ugc_etl_simulation.__main__ import finds, hazards_of, run_seeds
from ugc_etl_simulation.broken import PLANTED
from ugc_etl_simulation.build import Build
from ugc_etl_simulation.clickhouse import Violation
from ugc_etl_simulation.hazards import Hazards
from ugc_etl_simulation.seeds import SEEDS
from ugc_etl_simulation.world import World


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_nothing_is_lost_or_doubled_under_all_hazards(start):
    tally = run_seeds(start, start + 10)
    assert tally.violations == []
    assert tally.seeds == 10
    assert tally.steps > 6_000


@pytest.mark.parametrize("hazard", Hazards.names())
def test_nothing_is_lost_or_doubled_under_one_hazard(hazard):
    for seed in range(2):
        World(seed, Hazards.only(hazard), Build()).run()


@pytest.mark.parametrize("name", PLANTED)
def test_a_rule_taken_away_is_missed(name):
    assert finds(name) is not None


@pytest.mark.parametrize("name", set(PLANTED) - {"not-quiet"})
def test_the_same_world_is_right_with_the_rule(name):
    World(SEEDS[name], PLANTED[name].hazards, Build()).run()


def test_a_seed_makes_the_same_world_again():
    traces = []
    for _ in range(2):
        trace = []
        World(7, hazards_of(107), Build(), trace.append).run()
        traces.append(trace)
    assert traces[0] == traces[1]
    assert any("Deliver" in line for line in traces[0])


def test_every_hazard_happens():
    """A switch that changes nothing would prove nothing."""
    quiet = World(3, Hazards.none(), Build())
    quiet.run()
    for name in Hazards.names():
        worlds = [World(seed, Hazards.only(name), Build()) for seed in (3, 4, 5)]
        for world in worlds:
            world.run()
        assert any(world.steps != quiet.steps for world in worlds), name


def test_a_violation_says_which_place():
    planted = PLANTED["takes-foreign-marks"]
    with pytest.raises(Violation, match=r"life-\d+"):
        World(SEEDS["takes-foreign-marks"], planted.hazards, planted.build).run()
