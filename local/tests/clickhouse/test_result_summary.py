from pathlib import Path

import pytest
from ugc_local.clickhouse.result_summary import take_apart


@pytest.mark.parametrize(
    ("text", "rows", "totals", "extremes"),
    [
        (b"", b"", b"", b""),
        (b"1\r\n2\r\n", b"1\n2\n", b"", b""),
        (b"1\r\n\n9\r\n", b"1\n", b"9\n", b""),
        (b"1\r\n\n0\r\n2\r\n", b"1\n", b"", b"0\n2\n"),
        (b"1\r\n\n9\r\n\n0\r\n2\r\n", b"1\n", b"9\n", b"0\n2\n"),
        (b"\r\n\r\n\n\r\n", b"\n\n", b"\n", b""),  # empty strings
        (b"\n0\r\n", b"", b"0\n", b""),  # totals of no rows
    ],
)
def test_rows_totals_and_extremes(tmp_path: Path, text, rows, totals, extremes):
    path = tmp_path / "result"
    path.write_bytes(text)
    assert take_apart(path, tmp_path / "rows") == (totals, extremes)
    assert (tmp_path / "rows").read_bytes() == rows
