from collections import Counter
from itertools import pairwise
from random import Random
from statistics import fmean, stdev

import pytest
from ugc_local.generator.catalogue import Shelf, make_catalogue

EXPONENT = 1.1


@pytest.mark.parametrize("seed", range(5))
def test_a_catalogue_is_of_a_real_cinema(seed: int) -> None:
    films = make_catalogue(seed, EXPONENT)
    assert films == make_catalogue(seed, EXPONENT)
    assert len({film.content_id for film in films}) == len(films)
    assert len({film.title for film in films}) == len(films) == 96
    for film in films:
        shortest, longest = (20, 60) if ", episode " in film.title else (70, 180)
        assert shortest <= film.duration_ms / 60_000 <= longest + 1
        assert 1985 <= film.year <= 2025
        assert 0 <= film.trap_minute < film.minutes
        assert film.minutes == -(-film.duration_ms // 60_000)
    assert any(film.duration_ms % 60_000 == 0 for film in films)
    assert any(film.duration_ms % 60_000 != 0 for film in films)


def test_seeds_have_films_of_their_own() -> None:
    ids = [film.content_id for seed in range(4) for film in make_catalogue(seed, EXPONENT)]
    assert len(set(ids)) == len(ids)


def test_titles_are_drawn_by_zipf() -> None:
    shelf = Shelf.of(make_catalogue(3, EXPONENT))
    assert len(shelf.titles) == 66
    shares = [after - before for before, after in pairwise((0.0, *shelf.sums))]
    due = [rank**-EXPONENT for rank in range(1, 67)]
    assert sorted(shares, reverse=True) == pytest.approx(due)
    rng = Random(1)
    drawn = Counter(shelf.draw(rng) for _ in range(20_000))
    assert drawn[shares.index(max(shares))] / 20_000 == pytest.approx(1 / sum(due), rel=0.05)


def test_a_title_is_a_film_or_all_episodes_of_a_series() -> None:
    films = make_catalogue(3, EXPONENT)
    shelf = Shelf.of(films)
    assert sorted(film for title in shelf.titles for film in title) == list(range(len(films)))
    for number, title in enumerate(shelf.titles):
        assert {shelf.title_of[film] for film in title} == {number}
        assert len({films[film].title.split(", episode")[0] for film in title}) == 1
        assert len(title) in {1, 6}


def test_appeal_is_normal_over_choices() -> None:
    films = make_catalogue(3, 0.0)
    appeals = [film.appeal for film in films]
    assert fmean(appeals) == pytest.approx(0, abs=0.05)
    assert stdev(appeals) == pytest.approx(1, abs=0.1)


def test_series_go_on_in_order() -> None:
    films = make_catalogue(3, EXPONENT)
    last_episodes = 0
    for film in films:
        if film.next_episode is None:
            last_episodes += ", episode " in film.title
            continue
        title, number = film.title.rsplit(" ", 1)
        assert films[film.next_episode].title == f"{title} {int(number) + 1}"
    assert last_episodes == 6
