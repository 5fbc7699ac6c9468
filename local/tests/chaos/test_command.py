import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from ugc_local.chaos.command import chosen, exit_code_of, new_parser
from ugc_local.stores import NotReadyError

KINDS = [SimpleNamespace(name="killed"), SimpleNamespace(name="cut")]


def raising(error):
    raise error


@pytest.fixture
def arguments(tmp_path):
    directory = tmp_path / "data"
    return new_parser("chaos-x", "").parse_args(["--seed", "7", "--directory", str(directory)])


@pytest.mark.parametrize(
    ("end", "code", "kept"),
    [
        (lambda: True, 0, False),
        (lambda: False, 1, True),
        (lambda: raising(NotReadyError("no broker")), 2, True),
        (lambda: raising(KeyboardInterrupt()), 130, True),
    ],
)
def test_what_failed_is_kept_and_the_exit_code_says_how(arguments, end, code, kept):
    def passes():
        arguments.directory.mkdir()
        return end()

    told = io.StringIO()
    assert exit_code_of(passes, arguments, Console(file=told)) == code
    assert arguments.directory.exists() == kept
    assert ("no broker" in told.getvalue()) == (code == 2)
    assert ("SEED=7" in told.getvalue()) == (code == 130)


def test_only_the_kinds_that_are_named_are_drawn(capsys):
    parser = new_parser("chaos-x", "")
    assert chosen(parser, parser.parse_args([]), KINDS) == KINDS
    assert chosen(parser, parser.parse_args(["--kind", "cut"]), KINDS) == KINDS[1:]
    with pytest.raises(SystemExit):
        chosen(parser, parser.parse_args(["--kind", "none"]), KINDS)
    assert "ugc_local.chaos_x: error: kinds are: killed, cut" in capsys.readouterr().err
