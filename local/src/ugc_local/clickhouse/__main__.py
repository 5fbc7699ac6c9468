"""`python -m ugc_local.clickhouse --config-file PATH`: the embedded ClickHouse server."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from ugc_local.clickhouse.configuration import ConfigurationError, read_configuration
from ugc_local.clickhouse.errors import EngineStartError

# The engine's allocator reads it once, when it is loaded. By default it keeps freed pages for 5 s,
# while merges and inserts free more than they hold.
_ALLOCATOR = "dirty_decay_ms:100,muzzy_decay_ms:0"


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean end, 1 with a sentence on stderr else."""
    parser = argparse.ArgumentParser(prog="ugc_local.clickhouse", description=__doc__)
    parser.add_argument("--config-file", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    config = options.config_file.resolve()
    try:
        # `import chdb` takes a config.xml of the working directory for its own, and opens the
        # data that it names; so it is imported in a directory of ours.
        own = (read_configuration(config).data_path / "embedded").resolve()
        own.mkdir(parents=True, exist_ok=True)
        os.chdir(own)
        os.environ.setdefault("JE_MALLOC_CONF", _ALLOCATOR)
        from ugc_local.clickhouse.server import EmbeddedServer  # noqa: PLC0415

        server = EmbeddedServer(config)
    except (ConfigurationError, EngineStartError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"Ready: {server.summary}", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
