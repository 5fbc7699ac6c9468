import gzip
import random
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_api.bodies import (
    MAX_STREAMS,
    BrokenEncodingError,
    ExpandsTooFarError,
    UnknownEncodingError,
    expand,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {"gzip": gzip.compress, "zstd": zstd.compress}
LIMIT = 10_000


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(min_size=1, max_size=200))
def test_what_was_compressed_comes_back(encoding: str, body: bytes) -> None:
    compress = COMPRESS[encoding]
    assert expand(compress(body), encoding, LIMIT) == body
    assert expand(compress(body) + compress(body), f" {encoding.upper()} ", LIMIT) == 2 * body


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_what_was_not_stays(encoding: str) -> None:
    assert expand(b"{}", encoding, 1) == b"{}"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "aes128gcm", ","])
def test_other_codings_are_refused(encoding: str) -> None:
    with pytest.raises(UnknownEncodingError, match="gzip, zstd"):
        expand(b"{}", encoding, LIMIT)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_the_limit_is_of_what_comes_out(encoding: str) -> None:
    compress = COMPRESS[encoding]
    assert len(expand(compress(b" " * LIMIT), encoding, LIMIT)) == LIMIT
    with pytest.raises(ExpandsTooFarError):
        expand(compress(b" " * (LIMIT + 1)), encoding, LIMIT)
    with pytest.raises(ExpandsTooFarError):
        expand(compress(b" " * LIMIT) + compress(b" "), encoding, LIMIT)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_bomb_takes_no_memory(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(64 * 1024 * 1024))
    tracemalloc.start()
    try:
        with pytest.raises(ExpandsTooFarError):
            expand(bomb, encoding, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(min_size=1, max_size=200), data=st.data())
def test_a_stream_that_ends_early_is_broken(
    encoding: str, body: bytes, data: st.DataObject
) -> None:
    whole = COMPRESS[encoding](body)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(BrokenEncodingError):
        expand(whole[:cut], encoding, LIMIT)


@pytest.mark.parametrize("encoding", COMPRESS)
@given(noise=st.binary(min_size=1, max_size=200))
def test_noise_is_broken_or_something(encoding: str, noise: bytes) -> None:
    try:
        found = expand(noise, encoding, LIMIT)
    except BrokenEncodingError:
        return
    assert len(found) <= LIMIT


@pytest.mark.parametrize("encoding", COMPRESS)
def test_streams_that_end_anywhere_come_back(encoding: str) -> None:
    noise = random.Random(1).randbytes(150_000)  # more than the pieces in which it is read
    lengths = (1, 65_515, 65_536, 65_537, 150_000)
    body = b"".join(COMPRESS[encoding](noise[:length]) for length in lengths)
    assert expand(body, encoding, 400_000) == b"".join(noise[:length] for length in lengths)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_there_may_be_a_stream_for_each_event_and_not_for_each_byte(encoding: str) -> None:
    one = COMPRESS[encoding](b"a")
    assert expand(one * MAX_STREAMS, encoding, LIMIT) == b"a" * MAX_STREAMS
    empty = COMPRESS[encoding](b"")
    with pytest.raises(BrokenEncodingError, match="streams"):
        expand(empty * (4 * 1024 * 1024 // len(empty)), encoding, LIMIT)


def test_zstd_may_not_ask_for_a_huge_window() -> None:
    options = {
        int(zstd.CompressionParameter.window_log): 27,
        int(zstd.CompressionParameter.content_size_flag): 0,
    }
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(b"{}") + compressor.flush()
    with pytest.raises(BrokenEncodingError):
        expand(body, "zstd", LIMIT)


def test_raw_deflate_is_not_gzip() -> None:
    with pytest.raises(BrokenEncodingError):
        expand(zlib.compress(b"{}"), "gzip", LIMIT)
