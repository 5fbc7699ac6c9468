"""`python -m ugc_local.clickhouse --config-file PATH`: the embedded ClickHouse server."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from ugc_local.clickhouse.configuration import ConfigurationError
from ugc_local.clickhouse.engine import EngineStartError
from ugc_local.clickhouse.server import EmbeddedServer


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean end, 1 with a sentence on stderr else."""
    parser = argparse.ArgumentParser(prog="ugc_local.clickhouse", description=__doc__)
    parser.add_argument("--config-file", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = EmbeddedServer(options.config_file)
    except (ConfigurationError, EngineStartError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Cannot listen: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"Ready: {server.summary}", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
