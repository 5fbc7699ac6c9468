"""The reader of pages itself: it must not wave through what does not fit."""

from pathlib import Path

import pytest
from executable_page import Command, Edit, Question, read_page

PAGE = """# A page

In `a.py`, in the class:

```diff
 class A:
-    old
+    new

     tail
@@
 last
+more
```

New file `m/NNNN_x.sql`:

```sql
SELECT 1;
```

At the end of `list`:

```json
{"b": 2}
```

What is there?

```sql
SELECT a, b FROM t
```

```text
   ┌─a─┬──b─┐
1. │ 1 │  x │
```

Then look:

```console
$ ask "one" \\
> two
rows 12  of 34
…
$ down
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "a.py").write_text("class A:\n    old\n\n    tail\nclass B:\n    old\nlast\n")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "0009_y.sql").write_text("")
    (tmp_path / "list").write_text('{"a": 1}\n')
    return tmp_path / "page.md"


def test_edits_are_applied_and_commands_read(page: Path) -> None:
    read = read_page(page)
    for edit in read.edits:
        edit.apply(page.parent)
    changed = (page.parent / "a.py").read_text()
    assert changed == "class A:\n    new\n\n    tail\nclass B:\n    old\nlast\nmore\n"
    assert (page.parent / "m" / "0010_x.sql").read_text() == "SELECT 1;\n"
    assert (page.parent / "list").read_text() == '{"a": 1}\n{"b": 2}\n'
    assert read.commands == [
        Command('ask "one" \\\ntwo', ("rows 12  of 34", "…")),
        Command("down", ()),
    ]
    assert read.questions == [Question("SELECT a, b FROM t\n", ("a", "b"))]


@pytest.mark.parametrize(
    ("body", "found"), [(" class C:\n+x\n", 0), ("     old\n+x\n", 2), ("     ol\n+x\n", 0)]
)
def test_a_hunk_that_fits_nowhere_or_twice_is_refused(page: Path, body: str, found: int) -> None:
    with pytest.raises(AssertionError, match=f"^{found} places of a.py"):
        Edit("In", "a.py", body).apply(page.parent)


def test_a_new_file_that_is_there_is_refused(page: Path) -> None:
    with pytest.raises(AssertionError, match="there already"):
        Edit("New file", "a.py", "x").apply(page.parent)


def test_a_diff_without_a_place_is_refused(page: Path) -> None:
    page.write_text("Do this:\n\n```diff\n+x\n```\n")
    with pytest.raises(AssertionError, match="no line says where"):
        read_page(page)


@pytest.mark.parametrize("output", ["rows 7 of 1,000", "rows  7   of 8\nand\nmore"])
def test_output_that_differs_in_figures_alone_is_as_printed(output: str) -> None:
    assert Command("ask", ("rows 12 of 34", "…")).mismatch(output) == ""


@pytest.mark.parametrize("output", ["", "rows seven of 8", "rows 7", "first\nrows 7 of 8"])
def test_other_words_are_a_mismatch(output: str) -> None:
    assert "should print" in Command("ask", ("rows 12 of 34", "…")).mismatch(output)
