"""What the pages point at is there: files, headings, make targets, commands and their options."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from reader import REPOSITORY
from ugc_local.commands import ugc

_LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=REPOSITORY, check=True, capture_output=True,
).stdout.decode()  # fmt: skip
PAGES = sorted(name for name in _LISTED.split("\0") if name and (REPOSITORY / name).exists())
FENCES = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
MADE_BY_READERS = re.compile(r"New file `([^`]+)`")
pages = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text("utf-8")


def prose_of(page: str) -> str:
    return FENCES.sub("", text_of(page))


def code_of(page: str) -> Iterator[str]:
    """Spans of code, and lines of blocks that a shell is given; continued lines as one."""
    yield from re.findall(r"`([^`\n]+)`", prose_of(page))
    for language, body in FENCES.findall(text_of(page)):
        if language in ("sh", "console"):
            yield from re.sub(r"\\\n>?", " ", body).splitlines()


def anchor_of(heading: str) -> str:
    """As GitHub makes them."""
    words = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading)).strip().lower()
    return words.replace(" ", "-")


@pages
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert linked.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", FENCES.sub("", linked.read_text("utf-8")), re.M)
            assert anchor in map(anchor_of, headings), f"{page} links to {target}"


@pages
def test_named_files_are_there(page: str) -> None:
    later = MADE_BY_READERS.findall(text_of(page))
    for span in re.findall(r"`([^`\s]+)`", prose_of(page)):
        if re.match(r"(libs|services|operators|local|charts|infra|benchmarks|docs)/", span):
            found = list(REPOSITORY.glob(span.rstrip("/")))
            assert found or span in later, f"{page} names {span}"


@pages
def test_make_targets_exist(page: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.M))
    for code in code_of(page):
        for target in re.findall(r"(?:^|[$(;&|] ?)make (?:[A-Z_]+=\S+ )*([a-z][a-z0-9-]*)", code):
            assert target in targets, f"{page} says make {target}"


@pages
def test_commands_and_their_options_exist(page: str) -> None:
    for code in code_of(page):
        # Where a command begins: `helm install ugc …` has a release of this name.
        for name, rest in re.findall(r"(?:^\s*|[|;&($>]\s*|/)ugc ([a-z]+)\b([^|;]*)", code):
            assert name in ugc.commands, f"{page} says ugc {name}"
            options = {
                option
                for parameter in ugc.commands[name].params
                if isinstance(parameter, click.Option)
                for option in parameter.opts
            }
            unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", rest)
            said = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", unquoted))
            assert said <= options | {"-h", "--help"}, f"{page} says ugc {name}{rest}"


def test_a_broken_reference_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("up: ready\n")
    page = tmp_path / "page.md"
    monkeypatch.setattr(f"{__name__}.REPOSITORY", tmp_path)
    for text, check in (
        ("[a](none.md)", test_links_lead_somewhere),
        ("# A heading\n[a](#a-head)", test_links_lead_somewhere),
        ("`docs/none.md`", test_named_files_are_there),
        ("Do `make down`.", test_make_targets_exist),
        ("```sh\nmake up && make down\n```\n", test_make_targets_exist),
        ("Do `.venv/bin/ugc fly`.", test_commands_and_their_options_exist),
        ("```console\n$ ugc send \\\n> --fast\n```\n", test_commands_and_their_options_exist),
    ):
        page.write_text(text)
        with pytest.raises(AssertionError):
            check("page.md")
    page.write_text("# A heading\n[a](#a-heading) `make up` `ugc up --api-port 1`\n")
    for check in (
        test_links_lead_somewhere,
        test_named_files_are_there,
        test_make_targets_exist,
        test_commands_and_their_options_exist,
    ):
        check("page.md")
