"""Pages whose edits are applied and whose commands are run, as a reader would.

An edit is a fenced block behind a line that ends with a colon and says where:

* "In `path`": a diff without line numbers. The lines that begin with a space or a minus must be in
  the file exactly once; those with a space or a plus take their place. `@@` begins another hunk.
* "At the end of `path`": lines to add there.
* "New file `path`": the whole of it. `NNNN` in a path is the next free number of its folder.

A `sql` block followed by a `text` block is a question and an excerpt of its answer, on other data.

A `console` block holds commands behind `$ ` (continued behind `> `) and what they print. A line `…`
stands for any lines, and figures, ids and the width of columns are not compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
_PLACE = re.compile(r"(?P<how>In|At the end of|New file) `(?P<path>[^`]+)`(?:,.*)?:$")
_ANY_LINES = "…"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file; `how` is one of the three forms."""

    how: str
    path: str
    body: str

    def apply(self, tree: Path) -> None:
        """Change the file below `tree`. Raises AssertionError where the block does not fit."""
        path = tree / _numbered(tree, self.path)
        if self.how == "New file":
            assert not path.exists(), f"{self.path} is there already"
            path.write_text(self.body, "utf-8")
            return
        text = path.read_text("utf-8")
        if self.how == "At the end of":
            path.write_text(text + self.body, "utf-8")
            return
        for hunk in re.split(r"^@@.*\n", self.body, flags=re.M):
            text = self._replaced(text, hunk)
        path.write_text(text, "utf-8")

    def _replaced(self, text: str, hunk: str) -> str:
        # A blank line of context may have lost its space.
        lines = [(line[:1] or " ", line[1:]) for line in hunk.splitlines()]
        assert {mark for mark, _ in lines} <= {" ", "+", "-"}, f"not a diff:\n{hunk}"
        before = "".join(f"{line}\n" for mark, line in lines if mark != "+")
        after = "".join(f"{line}\n" for mark, line in lines if mark != "-")
        found = ("\n" + text).count("\n" + before)
        assert found == 1, f"{found} places of {self.path} look like this:\n{before}"
        return ("\n" + text).replace("\n" + before, "\n" + after)[1:]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a `console` block, and the lines that it prints there."""

    text: str
    printed: tuple[str, ...]

    def mismatch(self, output: str) -> str:
        """What is wrong with the output; empty where it is as printed."""
        wanted = [_plain(line) for line in self.printed]
        lines = [_plain(line) for line in output.splitlines()]
        pattern = "".join(
            r"(?:.*\n)*"
            if line == _ANY_LINES
            else ".*".join(map(re.escape, line.split("…"))) + "\n"
            for line in wanted
        )
        if re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)):
            return ""
        return f"$ {self.text}\nshould print\n{chr(10).join(self.printed)}\nand printed\n{output}"


@dataclass(frozen=True, slots=True)
class Question:
    """SQL, and the columns of the answer that the page shows."""

    sql: str
    columns: tuple[str, ...]


Step = Edit | Command | Question


@dataclass(frozen=True, slots=True)
class Page:
    """What is executable in a page, in its order."""

    steps: tuple[Step, ...]

    @property
    def edits(self) -> list[Edit]:
        return [step for step in self.steps if isinstance(step, Edit)]

    @property
    def commands(self) -> list[Command]:
        return [step for step in self.steps if isinstance(step, Command)]

    @property
    def questions(self) -> list[Question]:
        return [step for step in self.steps if isinstance(step, Question)]


def read_page(path: Path) -> Page:
    """The steps of a Markdown page. Raises AssertionError for a diff without a place."""
    steps: list[Step] = []
    sql = ""
    for block in _FENCE.finditer(path.read_text("utf-8")):
        place = _PLACE.search(block["before"])
        if place:
            assert (place["how"] == "In") == (block["language"] == "diff"), block[0]
            steps.append(Edit(place["how"], place["path"], block["body"]))
        elif block["language"] == "console":
            steps += _commands(block["body"])
        elif block["language"] == "sql":
            sql = block["body"]
        elif block["language"] == "text" and sql:
            header = block["body"].splitlines()[0]
            steps.append(Question(sql, tuple(re.findall(r"\w+", header))))
            sql = ""
        else:
            assert block["language"] != "diff", f"no line says where this is:\n{block[0]}"
    return Page(tuple(steps))


def _commands(body: str) -> list[Command]:
    commands: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], ()))
        elif line.startswith("> ") and not commands[-1].printed:
            commands[-1] = Command(f"{commands[-1].text}\n{line[2:]}", ())
        else:
            last = commands[-1]
            commands[-1] = Command(last.text, (*last.printed, line))
    return commands


def _numbered(tree: Path, path: str) -> str:
    if "NNNN" not in path:
        return path
    folder = (tree / path).parent
    taken = [int(name[0]) for f in folder.iterdir() if (name := re.match(r"\d{4}", f.name))]
    return path.replace("NNNN", f"{max(taken) + 1:04}")


def _plain(line: str) -> str:
    line = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", line)
    line = re.sub(r"\d[\d,.]*", "0", line)
    line = re.sub(r"0 min 0 s", "0 s", line)
    line = re.sub(r"─+", "─", line)
    return re.sub(r"\s+", " ", line).strip()
