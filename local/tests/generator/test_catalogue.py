import pytest
from ugc_local.generator.catalogue import accumulated_popularity, make_catalogue


@pytest.mark.parametrize("seed", range(5))
def test_a_catalogue_is_of_a_real_cinema(seed: int) -> None:
    films = make_catalogue(seed)
    assert films == make_catalogue(seed)
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
    ids = [film.content_id for seed in range(4) for film in make_catalogue(seed)]
    assert len(set(ids)) == len(ids)


def test_popularity_has_the_head_of_zipf() -> None:
    films = make_catalogue(3)
    sums = accumulated_popularity(films)
    shares = sorted((film.popularity / sums[-1] for film in films), reverse=True)
    assert 0.12 < shares[0] < 0.25
    assert 0.45 < sum(shares[:10]) < 0.75
    assert sums == sorted(sums)


def test_series_go_on_in_order() -> None:
    films = make_catalogue(3)
    last_episodes = 0
    for film in films:
        if film.next_episode is None:
            last_episodes += ", episode " in film.title
            continue
        title, number = film.title.rsplit(" ", 1)
        assert films[film.next_episode].title == f"{title} {int(number) + 1}"
    assert last_episodes == 6
