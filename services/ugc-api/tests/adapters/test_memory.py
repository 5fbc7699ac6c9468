from collections.abc import Callable

import pytest
from contract_event_sink import EventSinkContract, batch
from ugc_api.adapters.memory import MemorySink, Stored
from ugc_api.ports import Batch, SinkUnavailable


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
    def refused(self, sink: MemorySink) -> bytes:
        sink.refused.add(b"refused")
        return b"refused"

    @pytest.fixture
    def stored(self, sink: MemorySink) -> Callable[[], list[Stored]]:
        return lambda: list(sink.records)


def test_acknowledges_as_many_as_it_is_told() -> None:
    sink = MemorySink()
    sink.capacity = 2
    with pytest.raises(SinkUnavailable) as caught:
        sink.publish(batch("t", b"0", b"1", b"2"), 1)
    assert caught.value.stored == {0, 1}
    assert [record.value for record in sink.records] == [b"0", b"1"]


def test_holds_callers_until_their_deadline() -> None:
    sink = MemorySink()
    sink.held.clear()
    with pytest.raises(SinkUnavailable, match="timed_out"):
        sink.publish(Batch([("t", b"k", b"v")], 1), 0.01)
    assert sink.records == []
