from dataclasses import dataclass

import pytest
from ugc_etl.room import Room


@dataclass
class HeldLane:
    """A lane, as far as its memory goes."""

    held_bytes: int = 0
    shard: int = 0
    failures: int = 0
    awaits_records: bool = False
    has_taken_over: bool = False
    paused: bool = False
    hurried: bool = False


def paused(lanes):
    return [number for number, lane in enumerate(lanes) if lane.paused]


def test_one_alone_holds_half_and_is_read_again_at_a_quarter_of_what_is_left():
    room, lane = Room(1000), HeldLane()
    changes = []
    for held_bytes in (0, 500, 501, 201, 200, 500):
        lane.held_bytes = held_bytes
        pause, resume = room.share_out([lane])
        changes.append((len(pause), len(resume)))
    assert changes == [(0, 0), (0, 0), (1, 0), (0, 0), (0, 1), (0, 0)]
    assert not lane.hurried


@pytest.mark.parametrize("slow", [1, 3, 20])
def test_slow_partitions_leave_room_for_others_whatever_they_are_sent(slow):
    room = Room(10_000)
    lanes = [HeldLane() for _ in range(slow + 1)]
    for _ in range(2000):
        for lane in lanes[:slow]:
            lane.held_bytes += 0 if lane.paused else 10
        room.share_out(lanes)
    assert paused(lanes) == list(range(slow))
    left_bytes = 10_000 - sum(lane.held_bytes for lane in lanes)
    assert left_bytes >= 10_000 / (slow + 1) - 10 * slow
    assert not any(lane.hurried for lane in lanes)


def test_a_shard_that_takes_nothing_fills_its_own_share_only():
    room = Room(1000)
    down = [HeldLane(300, shard=1), HeldLane(300, shard=1), HeldLane(0, shard=1)]
    up = [HeldLane(100, shard=0), HeldLane(100, shard=0)]
    room.share_out([*down, *up])
    assert (paused(down), paused(up)) == ([0, 1, 2], [])
    assert [lane.hurried for lane in (*down, *up)] == [True, True, True, False, False]


def test_a_share_that_was_filled_is_read_again_when_half_of_it_is_free():
    room = Room(1000)
    lanes = [HeldLane(100) for _ in range(11)]
    room.share_out(lanes)
    assert paused(lanes) == list(range(11))
    for lane in lanes[:5]:
        lane.held_bytes = 0
    room.share_out(lanes)
    assert paused(lanes) == list(range(11))
    lanes[5].held_bytes = 0
    room.share_out(lanes)
    assert paused(lanes) == []


def test_all_memory_is_of_the_shards_that_have_partitions_here():
    room, lane = Room(1000), HeldLane(500, shard=7)
    room.share_out([lane])
    assert not lane.paused


def test_one_that_fails_is_not_read():
    room, lanes = Room(1000), [HeldLane(1, failures=1), HeldLane(1)]
    room.share_out(lanes)
    assert paused(lanes) == [0]


def test_what_is_taken_over_is_read_one_after_the_other_where_memory_is_full():
    room = Room(100)
    lanes = [HeldLane(60, awaits_records=True) for _ in range(3)]
    room.share_out(lanes)
    assert paused(lanes) == [1, 2]
    lanes[0].awaits_records, lanes[0].has_taken_over = False, True
    room.share_out(lanes)
    assert paused(lanes) == [0, 1, 2]
    lanes[0] = HeldLane()
    room.share_out(lanes)
    assert paused(lanes) == [0, 2]
