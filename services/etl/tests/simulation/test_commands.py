"""The lease of the commands under random schedules: it holds, and each of its rules is needed."""

import pytest
from ugc_etl_simulation.__main__ import finds_in_commands, run_commands
from ugc_etl_simulation.commands import PLANTED, Rules, World


def test_commands_at_once_double_nothing_and_bring_back_all():
    assert run_commands(0, 30).command_violations == []
    assert sum(World(seed, Rules()).run() for seed in range(30, 60)) > 250


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_taken_away_is_found(name):
    assert "doubled" in (finds_in_commands(name) or "")
