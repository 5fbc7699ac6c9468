"""The crash table of docs/delivery-semantics.md names, for every row, what shows it."""

import re
from pathlib import Path

import pytest
from ugc_etl_simulation.broken import PLANTED
from ugc_etl_simulation.hazards import Hazards

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parents[2] / "docs"


def table(page, heading):
    """The cells of the rows below the heading's line, by row."""
    lines = iter((DOCS / page).read_text().splitlines())
    for line in lines:
        if line.startswith(heading):
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


ROWS = list(table("delivery-semantics.md", "| what happens |"))
FAULTS = {row[0] for row in table("chaos.md", "| kind | how it is done | how it is undone | what")}
NAMES = {
    *Hazards.names(),
    *PLANTED,
    *(
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    ),
}


def test_the_tables_are_found():
    assert len(ROWS) > 30
    assert len(FAULTS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row[0])[:60])
def test_what_shows_a_row_exists(row):
    assert len(row) == 5
    for shown in row[4].split(";"):
        names = re.findall(r"`([^`]+)`", shown)
        assert set(names) <= NAMES
        assert names or shown.strip() in FAULTS | {"not shown"}


def test_every_switch_of_the_simulation_is_in_the_table():
    named = set(re.findall(r"`(\w+)`", " ".join(row[4] for row in ROWS)))
    # Two requests of one insert are two inserts of one token, as every repetition is.
    assert set(Hazards.names()) - named == {"duplicates"}
