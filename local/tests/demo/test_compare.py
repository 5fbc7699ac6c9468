import pytest
from ugc_local.demo.answers import Figures
from ugc_local.demo.compare import Difference, differences

FILM = ("film", "id", "viewers")


def test_equal_figures_have_no_difference() -> None:
    figures: Figures = {FILM: 3, ("film", "id", "drop_off_minute"): None, ("q",): 0.25}
    assert differences(figures, dict(figures)) == []


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({FILM: 3}, {FILM: 4}),
        ({FILM: 3}, {}),
        ({}, {FILM: 3}),
        ({FILM: None}, {FILM: 0}),
        ({FILM: None}, {}),
        ({FILM: 0.5}, {FILM: 0.500001}),
        ({FILM: 1}, {FILM: 1.0000001}),
    ],
)
def test_any_other_value_is_one(expected: Figures, found: Figures) -> None:
    assert differences(expected, found) == [Difference(FILM, expected.get(FILM), found.get(FILM))]


def test_the_last_bits_of_a_ratio_do_not_count() -> None:
    assert differences({FILM: 0.1 + 0.2}, {FILM: 0.3}) == []
    assert differences({FILM: 7.0}, {FILM: 7}) == []


def test_a_difference_reads_as_a_sentence() -> None:
    assert str(Difference(FILM, 3, 4)) == "film / id / viewers: expected 3, found 4"
