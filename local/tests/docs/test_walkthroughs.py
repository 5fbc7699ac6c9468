"""The pages for newcomers, followed step by step on a copy of the tree, with the real stores."""

from pathlib import Path

import pytest
from executable_page import read_page
from reader import REPOSITORY, Reader, at_home

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory):
    with at_home(tmp_path_factory.mktemp("clone")) as reader:
        yield reader


@pytest.mark.parametrize("page", ["add-a-field.md", "add-a-family.md"])
def test_the_edits_fit(tmp_path: Path, page: str) -> None:
    """Quick: names the place that a change of the code has moved."""
    for edit in read_page(DOCS / page).edits:
        copied = tmp_path / edit.path
        copied.parent.mkdir(parents=True, exist_ok=True)
        if edit.how != "New file":
            if not copied.exists():
                copied.write_bytes((REPOSITORY / edit.path).read_bytes())
            edit.apply(tmp_path)


@pytest.mark.integration
@pytest.mark.timeout(900)  # on a busy machine
def test_the_first_event(newcomer: Reader) -> None:
    newcomer.follow(read_page(DOCS / "first-event.md"))


@pytest.mark.integration
@pytest.mark.timeout(900)  # on a busy machine
def test_the_tour_asks_ten_questions_of_a_generated_day(newcomer: Reader) -> None:
    page = read_page(DOCS / "tour.md")
    assert len(page.questions) == 10
    newcomer.follow(page, data_dir="build/demo")


@pytest.mark.integration
@pytest.mark.timeout(900)  # on a busy machine
def test_a_field_and_then_a_family_are_added_to_data_from_before(newcomer: Reader) -> None:
    for page in ("add-a-field.md", "add-a-family.md"):
        newcomer.follow(read_page(DOCS / page))
