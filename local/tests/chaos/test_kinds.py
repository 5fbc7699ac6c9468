import re
from itertools import islice
from pathlib import Path

from ugc_local.chaos.kinds import KINDS, drawn

DOCUMENT = Path(__file__).parents[3] / "docs" / "chaos.md"


def test_every_round_has_every_kind_once_and_follows_from_the_seed():
    rounds = list(islice(drawn(KINDS, 5), 3 * len(KINDS)))
    for start in range(0, len(rounds), len(KINDS)):
        names = {kind.name for kind in rounds[start : start + len(KINDS)]}
        assert names == {kind.name for kind in KINDS}
    assert rounds == list(islice(drawn(KINDS, 5), len(rounds)))
    assert rounds != list(islice(drawn(KINDS, 6), len(rounds)))
    assert rounds[: len(KINDS)] != rounds[len(KINDS) : 2 * len(KINDS)]


def test_names_are_one_of_a_kind():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_document_has_every_kind_as_it_is():
    rows = dict(
        re.findall(r"^\| ([^|]+) \| ([^|]+ \| [^|]+ \| [^|]+) \|$", DOCUMENT.read_text(), re.M)
    )
    for kind in KINDS:
        assert rows[kind.name] == f"{kind.how} | {kind.undone} | {kind.afterwards}"
