"""Somebody who follows a page on a clone of their own: applies its edits, types its commands."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executable_page import Command, Edit, Page, Question
from ugc_local.credentials import ANALYST
from ugc_local.demo.analyst import Analyst
from ugc_local.tools.running import find_stack

REPOSITORY = Path(__file__).parents[3]

_EVENTUALLY_S = 60.0
_EVERY_S = 0.3
_COMMAND_S = 180
_ASKING = ("make status", "make query", ".venv/bin/ugc status", ".venv/bin/ugc query")
"""Commands whose answer is due in a second or so; a person asks again, and so does the reader."""


class Reader:
    """Works in `home`, a copy of the tree, at a terminal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        packages = [*home.glob("libs/*/src"), *home.glob("services/*/src"), home / "local" / "src"]
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "HOME", "LANG", "TMPDIR", "CLICKHOUSE_BIN", "M2_REPO", "JAVA_HOME"}
        } | {
            "PYTHONPATH": os.pathsep.join(map(str, packages)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TERM": "dumb",
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }

    def follow(self, page: Page, data_dir: str = "build/local") -> None:
        """Take every step. Raises AssertionError at the first that is not as the page says.

        `data_dir` is the one of the stack that is asked the page's questions.
        """
        for step in page.steps:
            match step:
                case Edit():
                    step.apply(self.home)
                case Command():
                    self.type(step)
                case Question():
                    self.ask(step, self.home / data_dir)

    def type(self, command: Command) -> None:
        """Run a command. Raises AssertionError where it prints something else than the page."""
        until_s = time.monotonic() + _EVENTUALLY_S
        while mismatch := command.mismatch(self.run(command.text)):
            again = command.text.startswith(_ASKING) and time.monotonic() < until_s
            assert again, mismatch
            time.sleep(_EVERY_S)

    def ask(self, question: Question, data_dir: Path) -> None:
        """Ask as the analyst, over HTTP. Raises AssertionError for other columns, or no rows."""
        stack = find_stack(data_dir)
        url = stack.state.endpoints.clickhouse_http_url
        rows = Analyst(url, ANALYST, stack.credentials.analyst_password).ask(question.sql)
        assert rows, f"no rows: {question.sql}"
        assert tuple(rows[0]) == question.columns, question.sql

    def run(self, command: str) -> str:
        """What a shell prints on the terminal, whatever its status."""
        # In a session of its own, so that nothing reads the terminal of who runs the tests.
        terminal, end = os.openpty()
        try:
            shell = subprocess.Popen(
                ["sh", "-c", command], cwd=self.home, env=self._environ,
                stdin=subprocess.DEVNULL, stdout=end, stderr=end, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(end)
        with os.fdopen(terminal, "rb", buffering=0) as printed:
            output = b"".join(_chunks(printed.fileno()))
        shell.wait(_COMMAND_S)
        return output.decode().replace("\r\n", "\n")


def _chunks(terminal: int) -> Iterator[bytes]:
    """What is printed until nobody holds the other end."""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # Linux's way to say so
                return
            raise
        if not chunk:
            return
        yield chunk


@contextmanager
def at_home(folder: Path) -> Iterator[Reader]:
    """A reader with a clone and an environment that fits it; stops what is left running there."""
    _clone(folder)
    _environment(folder)
    reader = Reader(folder)
    try:
        yield reader
    finally:
        for state in folder.glob("build/*"):
            reader.run(f".venv/bin/ugc down --data-dir {shlex.quote(str(state))}")


def _clone(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_file():  # or removed, and that not committed yet
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _environment(folder: Path) -> None:
    """What `make setup` makes, out of the environment that the tests run in."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in (("python", ""), ("ugc", " -m ugc_local")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n')
        program.chmod(0o755)
    (folder / ".venv" / ".ready").write_text(f"{folder}\n")
