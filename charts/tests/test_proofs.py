"""The table of docs/install.md says what is proven, and no more."""

from pathlib import Path

import proofs
import pytest


def test_the_table_is_what_the_tests_say() -> None:
    written = proofs.PAGE.read_text("utf-8")
    assert written == proofs.page(written), "run `make chart-proofs`"
    assert proofs.HEAD in written


def test_another_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "charts" / "tests"
    folder.mkdir(parents=True)
    mark = '@pytest.mark.proves("all", by="hoping")'
    (folder / "test_a.py").write_text(f"import pytest\n\n{mark}\ndef test_a(): ...\n")
    monkeypatch.setattr(proofs, "REPOSITORY", tmp_path)
    with pytest.raises(ValueError, match=r"test_a\.py: all is proven by hoping"):
        list(proofs.marked())
