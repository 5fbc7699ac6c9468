import re
import sys
from pathlib import Path

from ugc_local.chaos_api.faults import KINDS

DOCUMENT = Path(__file__).parents[3] / "docs" / "chaos.md"


def test_names_are_one_of_a_kind():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_document_has_every_kind_as_it_is():
    section = DOCUMENT.read_text("utf-8").split("\n## The API\n")[1]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+ \| [^|]+) \|$", section, re.M))
    del rows["kind"]
    if sys.platform != "linux":  # elsewhere nobody can limit another process's files
        del rows["broker's disk full"]
    assert rows == {kind.name: f"{kind.how} | {kind.undone}" for kind in KINDS}
