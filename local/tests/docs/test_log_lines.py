"""What the documentation says that the ETL logs, it logs: somebody will search for it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/delivery-semantics.md").read_text()
SECTION = PAGE.split("## What the process says\n")[1].split("\n## ")[0]
QUOTED = re.findall(r'\*"(.+?)"\*', SECTION)
# Texts that are written in several pieces are one.
SOURCE = re.sub(
    r'"\s+f?"',
    "",
    "\n".join(path.read_text() for path in (ROOT / "services/etl/src").rglob("*.py")),
)


def test_lines_are_quoted():
    assert len(QUOTED) > 10


@pytest.mark.parametrize("line", QUOTED)
def test_a_line_that_is_quoted_is_logged(line):
    # Between what differs from time to time: numbers, letters that stand for them, reasons.
    pieces = re.split(r"(?<!\w)(?:\d+|[a-zN]|…)(?!\w)|[:;]", line)
    for piece in pieces:
        assert piece.strip(" ,") in SOURCE
