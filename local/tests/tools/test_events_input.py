import io
import json

import pytest
from ugc_events import MAX_RECORD_BYTES, Reason
from ugc_local.tools.events_input import Given, InputError, read_events


def read(text: str | bytes) -> list[tuple[str, bytes]]:
    data = text if isinstance(text, bytes) else text.encode()
    return [tuple(given) for given in read_events(io.BytesIO(data))]


def test_one_object_a_line_with_empty_lines_between():
    assert read('\n{"a": 1}\n\n  {"b": "ключ"}  \r\n') == [
        ("line 2", b'{"a": 1}'),
        ("line 4", '{"b": "ключ"}'.encode()),
    ]


def test_a_broken_line_is_passed_on_with_its_number():
    assert read('{"a": 1}\nnonsense\n{"b": 2}') == [
        ("line 1", b'{"a": 1}'),
        ("line 2", b"nonsense"),
        ("line 3", b'{"b": 2}'),
    ]


def test_an_array_and_one_object_over_several_lines():
    assert read('[{"a": 1},\n 3]') == [("event 1", b'{"a": 1}'), ("event 2", b"3")]
    pretty = json.dumps({"a": {"b": [1]}}, indent=2)
    assert read(pretty) == [("event 1", pretty.encode())]


def test_lines_are_read_as_they_come():
    class Endless(io.RawIOBase):
        def __init__(self):
            self.given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.given += 1
            buffer[:9] = b'{"a": 1}\n'
            return 9

    source = Endless()
    events = read_events(io.BufferedReader(source, buffer_size=16))
    assert [next(events).place for _ in range(3)] == ["line 1", "line 2", "line 3"]
    assert source.given < 10


@pytest.mark.parametrize("text", ["", " \n\n", "[]", "nonsense", '{"a":\n', '[{"a": 1}', b"\xff\n"])
def test_input_that_is_nothing_of_that_is_one_sentence(text):
    with pytest.raises(InputError, match=r"^(there is no event|the array is empty|the input is)"):
        read(text)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense", Reason.NOT_JSON),
        (b"3", Reason.WRONG_TYPE),
        (b'{"a": "%s"}' % (b"x" * MAX_RECORD_BYTES), Reason.TOO_LARGE),
        (b'{"a": 1}', None),
    ],
)
def test_what_would_keep_others_out_is_a_fault_of_its_own(data, reason):
    fault = Given("line 1", data).fault()
    assert (fault.reason if fault else None) == reason
