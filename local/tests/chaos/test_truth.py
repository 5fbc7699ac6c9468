import math

from ugc_local.chaos.truth import Truth


def test_places_come_in_any_order_and_holes_are_no_records():
    truth = Truth()
    for number, offset in [(10, 2), (11, 0), (12, 5)]:
        truth.put(number, ("t", 1, offset), 1.0)
    truth.put(13, None, 1.0)
    assert list(truth.numbers()) == [(("t", 1), 0, 11), (("t", 1), 2, 10), (("t", 1), 5, 12)]
    assert truth.acknowledged == 3
    assert truth.unknown == {13}
    assert truth.number_at("t", 1, 2) == 10
    assert truth.number_at("t", 1, 1) is None
    assert truth.number_at("t", 1, 6) is None
    assert truth.number_at("t", 0, 0) is None


def test_lag_is_the_age_of_the_oldest_record_that_is_not_behind_a_position():
    truth = Truth()
    for offset, at_s in enumerate((10.0, 11.0, 12.0)):
        truth.put(offset, ("a", 0, offset), at_s)
    truth.put(9, ("b", 0, 0), 11.5)
    assert truth.lag_s({}, 20.0) == 10.0
    assert truth.lag_s({("a", 0): 2}, 20.0) == 8.5
    assert truth.lag_s({("a", 0): 2, ("b", 0): 1}, 20.0) == 8.0
    assert truth.lag_s({("a", 0): 3, ("b", 0): 1}, 20.0) == 0.0


def test_a_hole_is_no_lag():
    truth = Truth()
    truth.put(1, ("a", 0, 1), 10.0)
    assert not math.isinf(truth.lag_s({}, 20.0))
