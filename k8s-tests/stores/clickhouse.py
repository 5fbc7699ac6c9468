"""ClickHouse's pod: the embedded server, on every address, with an account for each kind of user.

`python clickhouse.py DIRECTORY`; the passwords are in ADMIN_PASSWORD and ANALYST_PASSWORD.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ugc_local.clickhouse.configuration import ServerPorts, User, write_configuration


def main(directory: Path, environ: Mapping[str, str]) -> None:
    config = write_configuration(
        directory,
        ports=ServerPorts(native=9000, http=8123),
        users=[
            User("default", environ["ADMIN_PASSWORD"]),
            User("analyst", environ["ANALYST_PASSWORD"], "analyst"),
        ],
        listen_host="0.0.0.0",  # noqa: S104 - a pod's
    )
    os.execv(  # noqa: S606 - it becomes the server
        sys.executable,
        [sys.executable, "-m", "ugc_local.clickhouse", "--config-file", str(config)],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ)
