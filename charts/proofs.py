"""Writes the table of proofs of docs/install.md: `python charts/proofs.py`.

A test that proves something about the charts says what, by `@pytest.mark.proves("...", by="...")`,
where `by` is "running" (the real thing did it) or "rendering" (what Helm made was judged). Each
module of k8s-tests/tests/promises proves what its docstring says, on a real Kubernetes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "install.md"
HEAD = "<!-- made by `make chart-proofs` -->\n"
TAIL = "<!-- end -->\n"
WAYS = ("running", "rendering")


def marked() -> Iterator[tuple[str, str, Path]]:
    """(what, way, file) of every mark in the charts' tests.

    Raises ValueError where a mark says no way that there is.
    """
    for file in sorted((REPOSITORY / "charts" / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.proves":
                what, way = (ast.literal_eval(v) for v in (node.args[0], node.keywords[0].value))
                if way not in WAYS:
                    raise ValueError(f"{file.name}: {what} is proven by {way}, not by {WAYS}")
                yield what, way, file


def promises() -> Iterator[tuple[str, str, Path]]:
    """The same of the promises on a real Kubernetes."""
    for file in sorted((REPOSITORY / "k8s-tests" / "tests" / "promises").glob("test_*.py")):
        said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or file.stem
        what = said.split("\n\n")[0].replace("\n", " ").rstrip(".")
        yield what, "running, on a real Kubernetes", file


def table() -> str:
    """Markdown: what is proven, how, and by which file."""
    rows = [*promises(), *marked()]
    order = ["running, on a real Kubernetes", *WAYS]
    rows.sort(key=lambda row: (order.index(row[1]), row[2].name, row[0]))
    lines = ["| what | proven by | in |", "|---|---|---|"]
    lines += [f"| {what} | {way} | `{file.relative_to(REPOSITORY)}` |" for what, way, file in rows]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with today's table in it."""
    before, _, rest = text.partition(HEAD)
    _, _, after = rest.partition(TAIL)
    return before + HEAD + "\n" + table() + "\n" + TAIL + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
