import math

from ugc_local.chaos.lag import RECOVERED_S, LagWatch
from ugc_local.chaos.truth import Truth
from ugc_local.deadline import Deadline
from ugc_local.kafka.client import KafkaClientError


class Broker:
    """Knows what a group has committed, or does not answer."""

    def __init__(self):
        self.committed = {}
        self.answers = True
        self.closed = False

    def positions(self, group):
        assert group == "the group"
        return self

    def read(self, partitions, timeout_s):
        if not self.answers:
            raise KafkaClientError("no answer")
        return {place: self.committed[place] for place in partitions if place in self.committed}

    def close(self):
        self.closed = True


def test_the_lag_is_watched_through_an_outage_and_recovery_is_the_first_small_lag_behind_it():
    broker, truth = Broker(), Truth()
    truth.put(0, ("t", 0, 0), -100.0)
    with LagWatch(broker, "the group", truth) as watch:
        assert Deadline.after(120).poll(lambda: len(watch.samples) > 0)
        assert watch.samples[0][1] > 100
        assert not watch.is_recovered()
        broker.answers = False
        assert Deadline.after(120).poll(lambda: math.isinf(watch.samples[-1][1]))
        assert not watch.all_done({("t", 0): 1})
        broker.answers = True
        assert not watch.all_done({("t", 0): 1})
        assert watch.recovered_at_s(0) is None
        broker.committed["t", 0] = 1
        assert watch.all_done({("t", 0): 1})
        assert Deadline.after(120).poll(watch.is_recovered)
    assert broker.closed
    # The last sample may not be the first small one: it goes on until the block ends.
    small = [at_s for at_s, lag_s in watch.samples if lag_s < RECOVERED_S]
    recovered_at_s = watch.recovered_at_s(0)
    assert recovered_at_s == small[0]
    assert watch.recovered_at_s(small[-1] + 1) is None
    large = [at_s for at_s, lag_s in watch.samples if lag_s >= RECOVERED_S]
    assert max(large) < recovered_at_s


def test_the_median_of_no_samples_is_not_small():
    with LagWatch(Broker(), "the group", Truth()) as watch:
        pass
    watch.samples = []
    assert math.isinf(watch.median_s())
    watch.samples = [(1.0, 5.0), (2.0, 1.0), (3.0, 2.0)]
    assert watch.median_s() == 2.0
