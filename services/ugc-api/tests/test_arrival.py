from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_api.arrival import MAX_CHUNKS, MAX_HEAD_BYTES, Arrival, Progress

MAX_BODY = 1000
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\n"
PLAIN = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = [
    b"GET / HTTP/1.1\r\n\r\n",
    HEAD + b"\r\n",
    HEAD + b"content-length:0\r\n\r\n",
    PLAIN,
    HEAD + b"Content-Length: 1000\r\n\r\n" + b"\r\n" * 500,
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"4\r\n\r\n\r\n\r\n0a;name=value\r\n0123456789\r\n000\r\n\r\n",
    CHUNKED + b"1\r\nx\r\n0\r\nTrailer: one\r\nOther: two\r\n\r\n",
]


@pytest.mark.hypothesis
@given(request=st.sampled_from(WHOLE), after=st.binary(max_size=60), data=st.data())
def test_a_request_ends_where_it_ends_however_it_is_cut(
    request: bytes, after: bytes, data: st.DataObject
) -> None:
    stream = request + after
    cuts = data.draw(st.sets(st.integers(1, len(stream) - 1)))
    marks = [0, *sorted(cuts), len(stream)]
    arrival = Arrival(MAX_BODY)
    fed = 0
    for start, end in pairwise(marks):
        progress = arrival.feed(stream[start:end])
        fed = end
        if progress is not Progress.MORE:
            break
        assert arrival.size == fed < len(request)
    assert progress is Progress.WHOLE
    assert arrival.take() == (request, stream[len(request) : fed])


@pytest.mark.hypothesis
@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    for start in (b"", CHUNKED, CHUNKED + b"5\r\nhello\r\n"):
        arrival = Arrival(MAX_BODY)
        if arrival.feed(start + data or b"x") is Progress.WHOLE:
            request, rest = arrival.take()
            assert request + rest == start + data


@pytest.mark.parametrize(
    ("request_", "progress"),
    [
        (HEAD + b"Content-Length: 1001\r\n\r\n", Progress.BODY_TOO_LARGE),
        (HEAD + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n", Progress.BODY_TOO_LARGE),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", Progress.BROKEN),
        (HEAD + b"Content-Length: -1\r\n\r\n", Progress.BROKEN),
        (HEAD + b"Content-Length: x\r\n\r\n", Progress.BROKEN),
        (HEAD + b"Content-Length:\r\n\r\n", Progress.BROKEN),
        (CHUNKED + b"x\r\n", Progress.BROKEN),
        (CHUNKED + b"-1\r\n", Progress.BROKEN),
        (CHUNKED + b"\r\n", Progress.BROKEN),
        (CHUNKED + b"1" * 9000, Progress.BROKEN),
        (CHUNKED + b"ffffffff\r\n", Progress.BODY_TOO_LARGE),
        (CHUNKED + b"1\r\nx\r\n" * 400, Progress.BODY_TOO_LARGE),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 20_000, Progress.HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"x" * MAX_HEAD_BYTES, Progress.HEAD_TOO_LARGE),
        (b"\0" * MAX_HEAD_BYTES, Progress.MORE),
    ],
)
def test_what_does_not_end_or_is_too_large(request_: bytes, progress: Progress) -> None:
    assert Arrival(MAX_BODY).feed(request_) is progress


def test_a_body_has_so_many_chunks_and_no_more() -> None:
    arrival = Arrival(1 << 20)
    assert arrival.feed(CHUNKED + b"1\r\nx\r\n" * MAX_CHUNKS) is Progress.MORE
    assert arrival.feed(b"1\r\n") is Progress.BODY_TOO_LARGE


def test_the_client_may_wait_to_be_asked_for_the_body() -> None:
    arrival = Arrival(MAX_BODY)
    assert (
        arrival.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n") is Progress.MORE
    )
    assert arrival.wants_continue
    assert arrival.feed(b"hello") is Progress.WHOLE
