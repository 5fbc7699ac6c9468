"""What every EventSink does. A subclass in a test module says how to make one."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from ugc_api.adapters.memory import Stored
from ugc_api.ports import Batch, EventSink, SinkUnavailable

TIMESTAMP_MS = 1_767_225_600_123
DEADLINE_S = 20.0


def batch(topic: str, *values: bytes, key: bytes = b"k") -> Batch:
    return Batch([(topic, key, value) for value in values], TIMESTAMP_MS)


class EventSinkContract:
    """Fixtures: `sink` (works), `lost_sink` (its log is away), `topic`, `stored` (reads back),
    `refused` (a value that the log takes in no case).
    """

    def test_returns_when_everything_is_stored(
        self, sink: EventSink, topic: str, stored: Callable[[], list[Stored]]
    ) -> None:
        trace = (("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),)
        records = [(topic, b"viewer:film", b'{"n":1}'), (topic, b"viewer:film", b'{"n":2}')]
        sink.publish(Batch(records, TIMESTAMP_MS, trace), DEADLINE_S)
        sink.publish(Batch(records[1:], TIMESTAMP_MS + 1), DEADLINE_S)
        assert stored() == [
            Stored(*records[0], TIMESTAMP_MS, trace),
            Stored(*records[1], TIMESTAMP_MS, trace),
            Stored(*records[1], TIMESTAMP_MS + 1),
        ]

    def test_publishing_nothing_is_no_work(
        self, sink: EventSink, stored: Callable[[], list[Stored]]
    ) -> None:
        sink.publish(Batch([], TIMESTAMP_MS), DEADLINE_S)
        assert stored() == []

    def test_keeps_the_order_of_a_key_and_mixes_no_callers(
        self, sink: EventSink, topic: str, stored: Callable[[], list[Stored]]
    ) -> None:
        def publish(caller: int) -> None:
            key = b"%d" % caller
            for first in range(0, 100, 20):
                values = [b"%d" % n for n in range(first, first + 20)]
                sink.publish(batch(topic, *values, key=key), DEADLINE_S)

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

    def test_tells_that_its_log_is_away(self, lost_sink: EventSink, topic: str) -> None:
        with pytest.raises(SinkUnavailable) as caught:
            lost_sink.publish(batch(topic, b"v"), 0.5)
        assert caught.value.stored == frozenset()
        assert caught.value.retry_after_s > 0
        assert caught.value.cause

    def test_a_record_that_is_refused_does_not_take_the_others_with_it(
        self, sink: EventSink, topic: str, refused: bytes, stored: Callable[[], list[Stored]]
    ) -> None:
        values = [b"%d" % n for n in range(30)]
        values.insert(15, refused)
        # A key of its own each: they spread over the partitions.
        records = [(topic, b"%d" % n, value) for n, value in enumerate(values)]
        with pytest.raises(SinkUnavailable) as caught:
            sink.publish(Batch(records, TIMESTAMP_MS), DEADLINE_S)
        told = {values[place] for place in caught.value.stored}
        assert told == {record.value for record in stored()}
        assert refused not in told
        assert told
        assert caught.value.cause
        again = [record for record in records if record[2] not in told | {refused}]
        sink.publish(Batch(again, TIMESTAMP_MS), DEADLINE_S)
        assert sorted(record.value for record in stored()) == sorted(set(values) - {refused})

    def test_is_not_ready_without_its_log_but_not_broken(self, lost_sink: EventSink) -> None:
        assert lost_sink.not_ready()
        assert lost_sink.broken() is None

    def test_closes_with_nothing_left_and_may_be_closed_again(
        self, sink: EventSink, topic: str
    ) -> None:
        sink.publish(batch(topic, b"v"), DEADLINE_S)
        assert sink.close(5) == 0
        assert sink.close(5) == 0
