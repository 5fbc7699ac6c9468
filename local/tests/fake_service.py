"""Stands for a service of the stack: a program that answers HTTP and notes what it was given.

    fake_service.py api|etl|migrate|crashing|clickhouse [server --config-file PATH]

Beside the stack's logs it writes `NAME-PID.json` with its settings.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def serve(host, port):
    server = ThreadingHTTPServer((host, int(port)), Answer)
    signal.signal(
        signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
    )
    server.serve_forever()


def main(role, *rest):
    if role == "crashing":
        print("the flux capacitor is missing", flush=True)
        sys.exit(3)
    note = {name: value for name, value in os.environ.items() if name.isupper()}
    Path(f"{role}-{os.getpid()}.json").write_text(json.dumps(note))
    if role == "api":
        serve(*os.environ["API_BIND"].split(":"))
    elif role == "etl":
        serve(os.environ["METRICS_HOST"], os.environ["METRICS_PORT"])
    elif role == "server":
        config = ET.parse(rest[1])  # noqa: S314 - the stack wrote it
        serve("127.0.0.1", config.findtext("http_port"))


if __name__ == "__main__":
    main(*sys.argv[1:])
