import io
import json
import logging

import pytest
from ugc_api import logs


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> object:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_a_line_of_json(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    logging.getLogger("ugc_api.x").warning("film %s\nsecond line", "Ёлки")
    logging.getLogger("ugc_api.x").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "warning", "logger": "ugc_api.x", "message": "film Ёлки\nsecond line"}


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    logs.configure("error", stream)
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "KeyError: 'missing'" in json.loads(line)["traceback"]
