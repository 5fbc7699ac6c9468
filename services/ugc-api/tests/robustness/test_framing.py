"""Where a request ends: the worker's collector and gunicorn's parser agree, or the connection ends.

Were there bytes of which one makes a request's body and the other the next request, a client
could hide a request in another one from whatever stands in front of the API.
"""

from random import Random

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from ugc_api.arrival import Arrival, Progress
from ugc_api.worker_io import RequestSource

CASES = 4000
CONFIG = Config()
LENGTHS = [
    "Content-Length: {0}", "content-length:{0}", "Content-Length : {0}", "Content-Length:\t{0}",
    "Content-Length: +{0}", "Content-Length: {0}, {0}", "Content-Length: 0{0}",
    "Content-Length: {0}\r\nContent-Length: {0}", "Content-Length: {0}\r\nContent-Length: 0",
    "Content-Length: 0\r\nContent-Length: {0}", "X: y\nContent-Length: {0}",
    "\tContent-Length: {0}", "Content-Length: \x0b{0}", "Content_Length: {0}",
    "Content-Length: \xb2", "Content-Length: -{0}",
]  # fmt: skip
CODINGS = [
    "Transfer-Encoding: chunked", "transfer-encoding:Chunked", "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: xchunked", "Transfer_Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
    "Transfer-Encoding:\tchunked", "Transfer-Encoding:", "Transfer-Encoding: chunked\x00",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nT: a\r\n\r\n",
    b"05\r\nhello\r\n00\r\n\r\n", b"1_0\r\nhellohellohelloX\r\n0\r\n\r\n", b"-5\r\nhello\r\n\r\n",
    b"5\r\nhello\r\n0;x\r\n\r\n", b"5;\nx\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0 \r\n\r\n", b"5\r\nhello\r\n0\r\nGET /x HTTP/1.1\r\n\r\n", b"0\r\nA\r\n\r\n",
]  # fmt: skip
SECOND = [
    b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
]


def random_stream(chance):
    body = chance.choice(BODIES)
    length = len(body) if chance.random() < 0.6 else chance.randint(0, 12)
    framing = [chance.choice(LENGTHS).format(length), chance.choice(CODINGS)]
    headers = ["Host: a", *chance.choice([framing, framing[:1], framing[1:]])]
    if chance.random() < 0.1:
        headers.append("Connection: " + chance.choice(["close", "keep-alive", "x"]))
    chance.shuffle(headers)
    version = chance.choice(["1.1"] * 8 + ["1.0"])
    head = "\r\n".join([f"POST /first HTTP/{version}", *headers, "", ""])
    return head.encode("latin-1") + body + chance.choice(SECOND)


class Stream:
    def __init__(self, data):
        self.data = data

    def recv(self, size):
        piece, self.data = self.data[:size], self.data[size:]
        return piece


def parsed(parser):
    """The next request, whether another may follow; None where the connection ends."""
    try:
        request = next(parser)
        found = request.method, request.path, request.body.read()
    except (StopIteration, ParseException, OSError):
        return None
    return found, not request.should_close()


def by_gunicorn(stream):
    """What its parser makes of the stream alone."""
    parser, found = RequestParser(CONFIG, Stream(stream), ("127.0.0.1", 1)), []
    while (one := parsed(parser)) is not None:
        found.append(one[0])
        if not one[1]:
            break
    return found


def by_worker(stream, chance):
    """What it makes of the pieces that the collector gives it, one after the other."""
    source, found = RequestSource(), []
    parser = RequestParser(CONFIG, source, ("127.0.0.1", 1))
    while stream:
        arrival, progress = Arrival(4096), Progress.MORE
        while stream and progress is Progress.MORE:
            cut = chance.randint(1, len(stream))
            progress, stream = arrival.feed(stream[:cut]), stream[cut:]
        if progress not in {Progress.WHOLE, Progress.BROKEN}:
            break
        request, rest = arrival.take()
        stream = rest + stream
        source.put(request)
        one = parsed(parser)
        if one is None:
            break
        found.append(one[0])
        if not one[1] or progress is Progress.BROKEN:
            break
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_a_request_to_the_worker_that_is_none_to_gunicorn(seed):
    both = 0
    for number in range(CASES):
        chance = Random(f"{seed} {number}")
        stream = random_stream(chance)
        expected, found = by_gunicorn(stream), by_worker(stream, chance)
        assert found == expected[: len(found)], stream
        both += len(found) == 2
    assert both > CASES / 20
