from collections.abc import Callable

import pytest
from contract_event_sink import EventSinkContract
from ugc_api.adapters.memory import MemorySink
from ugc_api.ports import Record, SinkUnavailable


class TestMemorySink(EventSinkContract):
    @pytest.fixture
    def topic(self) -> str:
        return "ugc.views.v1"

    @pytest.fixture
    def lost_sink(self) -> MemorySink:
        sink = MemorySink()
        sink.capacity = 0
        return sink

    @pytest.fixture
    def stored(self, sink: MemorySink) -> Callable[[], list[Record]]:
        return lambda: list(sink.records)


def test_acknowledges_as_many_as_it_is_told() -> None:
    sink = MemorySink()
    sink.capacity = 2
    records = [Record("t", b"k", b"%d" % n, 1) for n in range(3)]
    with pytest.raises(SinkUnavailable) as caught:
        sink.publish(records, 1)
    assert caught.value.acknowledged == 2
    assert sink.records == records[:2]


def test_holds_callers_until_their_deadline() -> None:
    sink = MemorySink()
    sink.held.clear()
    with pytest.raises(SinkUnavailable, match="timed_out"):
        sink.publish([Record("t", b"k", b"v", 1)], 0.01)
    assert sink.records == []
