import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ugc_local.chaos.consumer import Consumer
from ugc_local.deadline import Deadline
from ugc_local.process import Process


@pytest.fixture
def probes():
    """What an ETL process says of itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answers = {
                "/metrics": b"# TYPE etl_partitions gauge\netl_partitions 4.0\netl_other 9.0\n",
                "/readyz": b"ready\n",
            }
            body = answers[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(120)


@pytest.fixture
def consumer(tmp_path, process_guard, probes):
    def launch():
        program = "import sys, time\nprint('started', flush=True)\ntime.sleep(600)"
        return Process(
            "etl-1", [sys.executable, "-c", program],
            log=tmp_path / "etl-1.log", environ=os.environ, cwd=tmp_path, guard=process_guard,
        )  # fmt: skip

    made = Consumer("etl-1", None, None, probes, launch)
    yield made
    if made.process is not None:
        made.process.kill()


def test_a_place_is_free_until_somebody_is_wanted_there(consumer):
    assert consumer.is_free
    assert not consumer.runs()
    assert not consumer.is_ready()
    consumer.start()
    assert consumer.runs()
    assert consumer.is_ready()
    assert not consumer.is_free
    running = consumer.process
    consumer.start()
    assert consumer.process is running
    assert consumer.leave(120) == -signal.SIGTERM
    assert consumer.is_free


def test_a_process_that_was_killed_is_started_again_and_only_then(consumer):
    consumer.start()
    assert not consumer.mend()
    consumer.kill()
    assert not consumer.runs()
    assert not consumer.is_free
    assert consumer.mend()
    assert consumer.runs()
    assert "status -9" in consumer.ended_by_itself[0]


def test_it_owns_what_its_metrics_say_and_nothing_when_they_are_silent(consumer, unused_port):
    assert consumer.partitions() == 4
    assert consumer.owns_some()
    silent = Consumer("etl-2", None, None, unused_port, consumer.launch)
    assert silent.partitions() == 0
    assert not silent.owns_some()


def test_a_stopped_process_runs_and_goes_on_when_told(consumer):
    consumer.start()
    consumer.signal(signal.SIGSTOP)
    status = consumer.process.identity.process().status
    assert Deadline.after(120).poll(lambda: status() == "stopped")
    assert consumer.runs()
    consumer.signal(signal.SIGCONT)
    assert Deadline.after(120).poll(lambda: status() != "stopped")


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
