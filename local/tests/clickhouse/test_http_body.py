import io
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.http_body import Body, form_boundary, read_form


def headers(**values):
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_chunks(pieces):
    wire = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    source = io.BytesIO(wire + b"0\r\nTrailer: x\r\n\r\nnext")
    body = Body(source, headers(Transfer_Encoding="chunked"))
    assert b"".join(body) == b"".join(pieces)
    assert body.complete
    assert source.read() == b"next"


def test_a_counted_body():
    source = io.BytesIO(b"abcnext")
    assert b"".join(Body(source, headers(Content_Length="3"))) == b"abc"
    assert source.read() == b"next"


@pytest.mark.parametrize(
    ("wire", "given_headers"),
    [
        (b"ab", {"Content_Length": "3"}),
        (b"5\r\nab", {"Transfer_Encoding": "chunked"}),
        (b"x\r\n", {"Transfer_Encoding": "chunked"}),
        (b"", {"Transfer_Encoding": "chunked"}),
    ],
)
def test_a_body_that_is_cut_off(wire, given_headers):
    body = Body(io.BytesIO(wire), headers(**given_headers))
    with pytest.raises(EOFError):
        list(body)
    assert not body.complete


@pytest.mark.parametrize("given_headers", [{}, {"Content_Length": "x"}, {"Content_Length": "-1"}])
def test_a_body_without_a_length(given_headers):
    with pytest.raises(QueryError) as refusal:
        Body(io.BytesIO(b""), headers(**given_headers))
    assert refusal.value.code == 381


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data; charset=x; boundary="a b"', "a b"),
        ("text/plain; boundary=abc", ""),
        ("", ""),
    ],
)
def test_the_boundary(content_type, boundary):
    assert form_boundary(content_type) == boundary


@given(st.binary(max_size=100).filter(lambda data: b"\r\n--limit" not in b"\r\n" + data))
def test_forms(data):
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n'
        b'--limit\r\nContent-Type: x/y\r\ncontent-disposition: form-data; name="f"; '
        b'filename="f.csv"\r\n\r\n%b\r\n--limit--\r\n' % data
    )
    form = read_form(iter([body[:7], body[7:]]), "limit")
    assert form.fields == {"query": "SELECT 1"}
    assert form.files == {"f": data}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--limit\r\n",
        b"--limit\r\nno header\r\n--limit--\r\n",
        b"--limit\r\n\r\nx\r\n--limit--",
    ],
)
def test_broken_forms(body):
    with pytest.raises(QueryError) as refusal:
        read_form(iter([body]), "limit")
    assert refusal.value.code == 36
