"""Writes the tables of what is proven: `python charts/proofs.py`.

A test that proves something about the charts says what, by `@pytest.mark.proves("...", by="...")`,
where `by` is "running" (the real thing did it) or "rendering" (what Helm made was judged). Each
module of k8s-tests/tests/promises promises what its docstring says, on a real Kubernetes; that it
was kept is proven by a run, which `python charts/proofs.py WHERE` records from build/reports.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
HEAD = "<!-- made by `make chart-proofs` -->\n"
TAIL = "<!-- end -->\n"
WAYS = ("running", "rendering")
WHERE = {"node": "a node of our own", "kind": "kind", "minikube": "minikube"}
"""Clusters on which promises run."""

Entry = dict[str, Any]
"""Of one promise: name, passed, seconds, measured."""


def report() -> Path:
    """What the last run of the promises wrote."""
    return REPOSITORY / "build" / "reports" / "k8s.json"


def recorded_file() -> Path:
    """{where: entries} of the runs that the pages tell of."""
    return REPOSITORY / "docs" / "kubernetes-proofs.json"


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


def promises() -> Iterator[tuple[str, Path, list[str]]]:
    """(what, file, names of its tests) of every promise."""
    for file in sorted((REPOSITORY / "k8s-tests" / "tests" / "promises").glob("test_*.py")):
        module = ast.parse(file.read_text("utf-8"))
        said = ast.get_docstring(module) or file.stem
        names = [
            node.name.removeprefix("test_")
            for node in module.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        yield said.split("\n\n")[0].replace("\n", " ").rstrip("."), file, names


def record(where: str) -> None:
    """Take the last run over, as one on `where`; promises that it did not try stay as they were."""
    entries = {entry["name"]: entry for entry in recorded().get(where, [])}
    entries |= {entry["name"]: entry for entry in json.loads(report().read_text("utf-8"))}
    known = {name for _, _, names in promises() for name in names}
    kept = [entries[name] for name in sorted(entries) if name.partition("[")[0] in known]
    text = json.dumps(recorded() | {where: kept}, indent=1)
    recorded_file().write_text(text + "\n", "utf-8")


def recorded() -> dict[str, list[Entry]]:
    file = recorded_file()
    found: dict[str, list[Entry]] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return found


def runs(names: list[str]) -> Iterator[tuple[str, list[Entry]]]:
    """(where, entries) of each cluster on which all these tests ran."""
    for where in WHERE:
        entries = [e for e in recorded().get(where, []) if e["name"].partition("[")[0] in names]
        if {entry["name"].partition("[")[0] for entry in entries} == set(names):
            yield where, entries


def all_proofs() -> str:
    """Markdown: what is proven, how, and by which file."""
    order = ["running, on a real Kubernetes", *WAYS]
    rows = list(marked())
    for what, file, names in promises():
        if any(all(entry["passed"] for entry in entries) for _, entries in runs(names)):
            rows.append((what, order[0], file))
    rows.sort(key=lambda row: (order.index(row[1]), row[2].name, row[0]))
    lines = ["| what | proven by | in |", "|---|---|---|"]
    lines += [f"| {what} | {way} | `{file.relative_to(REPOSITORY)}` |" for what, way, file in rows]
    return "\n".join(lines) + "\n"


def last_runs() -> str:
    """Markdown: each promise that ran, where, whether it was kept, and what was measured."""
    lines = ["| promise | ran on | kept | seconds | measured |", "|---|---|---|---|---|"]
    for what, file, names in promises():
        cell = f"{what} (`{file.name}`)"
        for where, entries in runs(names):
            kept = "yes" if all(entry["passed"] for entry in entries) else "**no**"
            seconds = sum(entry["seconds"] for entry in entries)
            measured = [f"{k} {v}" for entry in entries for k, v in entry["measured"].items()]
            lines.append(
                f"| {cell} | {WHERE[where]} | {kept} | {seconds:.0f} | {', '.join(measured)} |"
            )
    return "\n".join(lines) + "\n"


TABLES = {"install.md": all_proofs, "kubernetes-tests.md": last_runs}
"""By page of docs/."""


def page(name: str) -> str:
    """The page with today's table in it."""
    before, _, rest = (REPOSITORY / "docs" / name).read_text("utf-8").partition(HEAD)
    _, _, after = rest.partition(TAIL)
    return before + HEAD + "\n" + TABLES[name]() + "\n" + TAIL + after


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] not in WHERE:
        print(f"failed: a run is recorded as one on {', '.join(WHERE)}", file=sys.stderr)
        return 2
    if arguments and not report().exists():
        print("failed: nothing ran yet: make test-k8s", file=sys.stderr)
        return 1
    for where in arguments:
        record(where)
    for name in TABLES:
        (REPOSITORY / "docs" / name).write_text(page(name), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
