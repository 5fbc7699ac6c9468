import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.clickhouse.compression import (
    METHODS,
    FramePacker,
    Packer,
    choose_coding,
    encode_frames,
    unpack,
    unpack_frames,
)
from ugc_local.clickhouse.errors import QueryError

CODINGS = ["zstd", "lz4", "gzip", "deflate", "xz", "bz2"]


def in_pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(st.sampled_from(["", *CODINGS]), st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_what_is_packed_is_unpacked(coding, pieces, size):
    packer = Packer(coding)
    packed = b"".join([*map(packer.pack, pieces), packer.end()])
    assert b"".join(unpack(coding, in_pieces(packed, size))) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
def test_damage_is_found(coding):
    packer = Packer(coding)
    packed = packer.pack(b"abc" * 1000) + packer.end()
    for bad in (packed[:-3], b"garbage, and more of it"):
        with pytest.raises(QueryError) as refusal:
            list(unpack(coding, [bad]))
        assert refusal.value.code in (354, 554, 561, 594, 618)


def test_an_unknown_coding():
    with pytest.raises(QueryError) as refusal:
        list(unpack("br", [b"x"]))
    assert refusal.value.code == 48


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5, lz4 ; q=1", "lz4"),
        ("zstd;q=0, deflate", "deflate"),
        ("notgzip", ""),
    ],
)
def test_the_choice(accepted, chosen):
    assert choose_coding(accepted) == chosen


@given(
    st.sampled_from(sorted(set(METHODS.values()))),
    st.lists(st.binary(min_size=1, max_size=300)),
    st.integers(1, 50),
)
def test_frames(method, pieces, size):
    packed = b"".join(encode_frames(piece, method) for piece in pieces)
    assert b"".join(unpack_frames(in_pieces(packed, size))) == b"".join(pieces)


@given(st.integers(0, 200), st.integers(1, 255))
def test_no_changed_byte_of_a_frame_goes_unseen(at, change):
    packed = bytearray(FramePacker().pack(b"some content " * 9))
    packed[at % len(packed)] ^= change
    with pytest.raises(QueryError):
        list(unpack_frames([bytes(packed)]))


def test_a_large_content_takes_several_frames():
    content = bytes(3 << 20)
    packed = encode_frames(content, METHODS["ZSTD"])
    assert len(list(unpack_frames([packed]))) == 3
    assert b"".join(unpack_frames([packed])) == content
