"""The engine with a rendered configuration, one user of it, in a process of its own.

The engine (chdb) takes the configuration file of a server: macros, clusters, Keeper, users with
their grants, profiles and quotas. It listens to nobody and is always asked by the user `default`,
whom the chart does not have: so one of the chart's users is given that name. What is replaced is
what cannot be here: paths of the pod, and the address of Keeper.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # of this repository only

from rendering import Rendered
from ugc_etl.schema import ServerRefused

PASSWORDS = ("ADMIN", "ANALYST", "CLUSTER", "ETL", "INTERSERVER")


def configure(
    rendered: Rendered, folder: Path, *, user: str, data: Path, keeper_port: int = 1
) -> Path:
    """The rendered configuration, written to `folder` for the engine; returns config.xml."""
    (written,) = [o["data"] for o in rendered.all("ConfigMap") if "config.xml" in o["data"]]
    config, users = (ET.fromstring(written[f]) for f in ("config.xml", "users.xml"))  # noqa: S314
    for element in config.iter():
        if (element.text or "").startswith("/var/lib/clickhouse/"):
            element.text = str(element.text).replace("/var/lib/clickhouse", str(data), 1)
        elif element.text == "/backups/":
            element.text = f"{folder}/backups/"
    for host, port in zip(
        config.findall("zookeeper/node/host"), config.findall("zookeeper/node/port"), strict=True
    ):
        host.text, port.text = "127.0.0.1", str(keeper_port)
    accounts = users.find("users")
    original = users.find(f"users/{user}")
    assert accounts is not None
    assert original is not None
    asked = ET.SubElement(accounts, "default")
    asked.extend(element for element in original if element.tag not in ("password", "networks"))
    ET.SubElement(asked, "no_password")
    folder.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(users).write(folder / "users.xml")
    ET.ElementTree(config).write(folder / "config.xml")
    return folder / "config.xml"


class Engine:
    """A `SchemaClient` of a process that is the engine. Values arrive as JSON has them."""

    def __init__(self, config: Path, data: Path, *, pod: str = "pod-0", shard: int = 0) -> None:
        self._log = (config.parent / "engine.log").open("w")
        environ: Mapping[str, str] = {
            "POD_NAME": pod,
            "POD_HOST": "localhost",
            "SHARD": str(shard),
            "BACKUP_ACCESS_KEY_ID": "key",
            "BACKUP_SECRET_ACCESS_KEY": "secret",
            **{f"{name}_PASSWORD": f"password-of-{name.lower()}" for name in PASSWORDS},
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, f"{data}?config-file={config}"],
            env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True,
        )  # fmt: skip

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Raises ServerRefused."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sql) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the engine has ended: {Path(self._log.name).read_text()[-2000:]}"
        rows, refusal = json.loads(line)
        if refusal:
            code = re.search(r"Code: (\d+)", refusal)
            raise ServerRefused(int(code[1]) if code else 0, f"{refusal}\n{sql}")
        return [tuple(row) for row in rows]

    def close(self) -> None:
        """End the process in good order; another may open the data."""
        self._process.communicate(timeout=60)
        self.kill()

    def kill(self) -> None:
        """End the process, again if need be."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


def _serve(address: str) -> None:
    import chdb  # in the child only: a process has one engine

    connection = chdb.connect(address)
    for line in sys.stdin:
        rows: list[Any] = []
        refusal = ""
        try:
            answer = str(connection.query(json.loads(line), "JSONCompactEachRow"))
            rows = [json.loads(row) for row in answer.splitlines()]
        except RuntimeError as error:
            refusal = str(error)
        print(json.dumps([rows, refusal]), flush=True)
    connection.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
