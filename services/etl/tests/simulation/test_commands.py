"""The lease of the commands under random schedules: it holds, and each of its rules is needed."""

import pytest
from ugc_etl_simulation.clickhouse import Violation
from ugc_etl_simulation.commands import PLANTED, Rules, World


def run(seeds, rules):
    """How often rows went in."""
    return sum(World(seed, rules).run() for seed in seeds)


def test_commands_at_once_double_nothing_and_bring_back_all():
    assert run(range(60), Rules()) > 500


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_taken_away_is_found(name):
    with pytest.raises(Violation, match="doubled"):
        run(range(400), PLANTED[name])
