"""What every EventSink does. A subclass in a test module says how to make one."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from ugc_api.ports import EventSink, Record, SinkUnavailable

TIMESTAMP_MS = 1_767_225_600_123
DEADLINE_S = 20.0


class EventSinkContract:
    """Fixtures `sink` (works), `lost_sink` (its log is away), `topic`, `stored` (reads back)."""

    def test_returns_when_everything_is_stored(
        self, sink: EventSink, topic: str, stored: Callable[[], list[Record]]
    ) -> None:
        trace = (("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),)
        records = [
            Record(topic, b"viewer:film", b'{"n":1}', TIMESTAMP_MS, trace),
            Record(topic, b"viewer:film", b'{"n":2}', TIMESTAMP_MS + 1),
        ]
        sink.publish(records, DEADLINE_S)
        assert stored() == records

    def test_publishing_nothing_is_no_work(
        self, sink: EventSink, stored: Callable[[], list[Record]]
    ) -> None:
        sink.publish([], DEADLINE_S)
        assert stored() == []

    def test_keeps_the_order_of_a_key_and_mixes_no_callers(
        self, sink: EventSink, topic: str, stored: Callable[[], list[Record]]
    ) -> None:
        def publish(caller: int) -> None:
            key = b"%d" % caller
            for first in range(0, 100, 20):
                sink.publish(
                    [Record(topic, key, b"%d" % n, TIMESTAMP_MS) for n in range(first, first + 20)],
                    DEADLINE_S,
                )

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(publish, range(8)))
        found = stored()
        for caller in range(8):
            values = [int(r.value) for r in found if r.key == b"%d" % caller]
            assert values == list(range(100))

    def test_says_nothing_against_publishing(self, sink: EventSink) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while sink.not_ready() is not None:
            assert time.monotonic() < deadline_s, sink.not_ready()
            time.sleep(0.05)
        assert sink.broken() is None

    def test_tells_within_the_deadline_that_its_log_is_away(
        self, lost_sink: EventSink, topic: str
    ) -> None:
        begun = time.monotonic()
        with pytest.raises(SinkUnavailable) as caught:
            lost_sink.publish([Record(topic, b"k", b"v", TIMESTAMP_MS)], 0.5)
        assert time.monotonic() - begun < 5
        assert caught.value.acknowledged == 0
        assert caught.value.retry_after_s > 0
        assert caught.value.cause

    def test_is_not_ready_without_its_log_but_not_broken(self, lost_sink: EventSink) -> None:
        assert lost_sink.not_ready()
        assert lost_sink.broken() is None

    def test_closes_with_nothing_left_and_may_be_closed_again(
        self, sink: EventSink, topic: str
    ) -> None:
        sink.publish([Record(topic, b"k", b"v", TIMESTAMP_MS)], DEADLINE_S)
        assert sink.close(5) == 0
        assert sink.close(5) == 0
