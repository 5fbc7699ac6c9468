"""What a query's answer becomes, against servers that answer byte by byte as they are told."""

import socket
import threading

import pytest
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.tools.query import AskError, ask


def answer(*pieces: bytes, headers: str = "", end: bool = True) -> tuple[bytes, str]:
    """What `ask` gives for a chunked answer, and the sentence of its error if it has one."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
                connection.sendall(head.encode())
                for piece in pieces:
                    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                if end:
                    connection.sendall(b"0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        found = b""
        try:
            url = f"http://{LOOPBACK}:{server.getsockname()[1]}"
            for piece in ask(url, ("analyst", "secret"), "", default_format="TSV"):
                found += piece
        except AskError as error:
            return found, str(error)
        finally:
            thread.join()
        return found, ""


def test_an_answer_is_passed_on():
    assert answer(b"1\n", b"2\n") == (b"1\n2\n", "")
    assert answer() == (b"", "")
    assert answer(b"1\n", b"2\n", headers="X-ClickHouse-Exception-Tag: tagtag\r\n") == (
        b"1\n2\n",
        "",
    )


def test_a_failure_in_the_middle_of_old_servers_is_an_error_and_no_data():
    message = b"Code: 395. DB::Exception: Value passed to 'throwIf' is non-zero\n"
    assert answer(b"1\n", message, end=False) == (b"1\n", message.decode().strip())
    assert answer(b"1\n2\n" + message, end=False) == (b"1\n2\n", message.decode().strip())


@pytest.mark.parametrize("split", [1, 7, 1000])
def test_a_failure_in_the_middle_of_new_servers_likewise(split):
    sentence = b"Code: 395. DB::Exception: no\nreally"
    whole = b"1\n2\n\r\n__exception__\r\ntagtag\r\n%b\n%d tagtag\r\n__exception__\r\n" % (
        sentence,
        len(sentence),
    )
    pieces = [whole[at : at + split] for at in range(0, len(whole), split)]
    header = "X-ClickHouse-Exception-Tag: tagtag\r\n"
    assert answer(*pieces, headers=header, end=False) == (b"1\n2\n", sentence.decode())


def test_a_lost_server_is_a_sentence():
    assert answer(b"1\n", end=False) == (
        b"1\n",
        "the answer broke off: ClickHouse has ended or lost the query",
    )
    (port,) = free_ports(1)
    with pytest.raises(AskError, match=r"does not answer .*: ugc status says what runs"):
        list(ask(f"http://{LOOPBACK}:{port}", ("a", "b"), "SELECT 1", default_format="TSV"))
