from hypothesis import given
from hypothesis import strategies as st
from ugc_local.chaos.taps import ClickHouseTap, Direction, KafkaTap, Moment

REQUESTS, REPLIES = Direction.REQUESTS, Direction.REPLIES


def frame(body):
    return len(body).to_bytes(4, "big") + body


def request(api_key, correlation):
    return frame(api_key.to_bytes(2, "big") + b"\0\1" + correlation.to_bytes(4, "big") + b"rest")


def reply(correlation):
    return frame(correlation.to_bytes(4, "big") + b"rest")


def moments(tap, *said):
    return [[moment for _, moment in tap.see(direction, data)] for direction, data in said]


def test_an_insert_is_seen_at_its_rows_and_at_its_answer():
    assert moments(
        ClickHouseTap(),
        (REQUESTS, b"\1 select 1"),
        (REPLIES, b"\1 block \5"),
        (REQUESTS, b"\1 INSERT INTO t (a) VALUES"),
        (REQUESTS, b"\2 an empty block of external tables"),
        (REPLIES, b"\1 sample block"),
        (REQUESTS, b"\2 rows"),
        (REQUESTS, b"\2 more rows"),
        (REPLIES, b"\3 progress"),
        (REPLIES, b"\3 progress \5"),
        (REQUESTS, b"\1 INSERT INTO t (a) VALUES"),
        (REPLIES, b"\1 sample block"),
        (REQUESTS, b"\2 rows"),
    ) == [[moment] for moment in (
        None, None, None, None, None, Moment.INSERT_SENT, None, None, Moment.INSERT_ANSWERED,
        None, None, Moment.INSERT_SENT,
    )]  # fmt: skip


def test_a_refused_insert_is_told_from_one_that_is_done():
    insert = [(REQUESTS, b"\1 INSERT INTO t VALUES"), (REPLIES, b"\1 sample"), (REQUESTS, b"rows")]
    seen = moments(ClickHouseTap(), *insert, (REPLIES, b"\2 no \5"), *insert, (REPLIES, b"\5"))
    assert [found for [found] in seen if found] == [
        Moment.INSERT_SENT, Moment.INSERT_REFUSED, Moment.INSERT_SENT, Moment.INSERT_ANSWERED,
    ]  # fmt: skip


def test_an_insert_from_a_select_has_no_rows_on_their_way():
    seen = moments(
        ClickHouseTap(),
        (REQUESTS, b"\1 INSERT INTO t SELECT 1"),
        (REPLIES, b"\5"),
        (REQUESTS, b"\1 SELECT 1"),
    )
    assert seen == [[None], [None], [None]]


def test_requests_are_known_by_their_key_and_replies_by_the_correlation_id():
    tap = KafkaTap()
    assert moments(
        tap,
        (REQUESTS, request(1, 7) + request(8, 9)),
        (REPLIES, reply(7)),
        (REPLIES, reply(9)),
        (REQUESTS, request(0, 8)),
        (REPLIES, reply(8)),
        (REQUESTS, request(28, 7)),
        (REPLIES, reply(9) + reply(7)),
        (REQUESTS, request(11, 1)),
    ) == [[None, Moment.COMMIT_SENT], [None], [Moment.COMMIT_ANSWERED],
          [Moment.LETTER_SENT], [Moment.LETTER_ANSWERED], [Moment.COMMIT_SENT],
          [None, Moment.COMMIT_ANSWERED], [Moment.JOIN_SENT]]  # fmt: skip


@given(
    st.lists(st.binary(max_size=30), max_size=10),
    st.binary(max_size=3),
    st.lists(st.integers(1, 20), min_size=1),
)
def test_frames_come_whole_and_nothing_is_lost_however_the_network_cuts(bodies, rest, cuts):
    stream = b"".join(map(frame, bodies)) + rest
    tap, pieces, at = KafkaTap(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        pieces += [piece for piece, _ in tap.see(REPLIES, stream[at : at + size])]
        at += size
    assert pieces == [frame(body) for body in bodies]
    assert tap.rest(REPLIES) == rest
