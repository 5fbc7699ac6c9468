"""Writes each chart's values.schema.json: `python charts/values_schema.py`.

The shape, the types and the descriptions come from values.yaml, which must have a comment at every
key; a comment line `# @schema {...}` adds to what the default says. The settings come from the
service's own code. A test compares, so neither can drift.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import ugc_api.settings
import ugc_etl.settings
import yaml
from ugc_settings import describe

CHARTS = Path(__file__).resolve().parent
_DIRECTIVE = "@schema "
_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]+):")

KAFKA = {
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC_PREFIX",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SSL_CA_LOCATION",
    "KAFKA_SSL_CERTIFICATE_LOCATION",
    "KAFKA_SSL_KEY_LOCATION",
}


@dataclass(frozen=True)
class Chart:
    """A chart of a service or of a store.

    Attributes:
        name: folder of the chart, from this one.
        settings: what the service reads; None for a store.
        owned: variables that the chart sets from values of its own.
    """

    name: str
    settings: type[Any] | None
    owned: frozenset[str]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return CHARTS / self.name

    def free(self) -> set[str]:
        """Variables that a user sets under `settings`: no secret, and nothing the chart sets."""
        if self.settings is None:
            return set()
        plain = {variable.name for variable in describe(self.settings) if not variable.secret}
        return plain - self.owned


SERVICES = (
    Chart(
        "ugc-api",
        ugc_api.settings.Settings,
        frozenset({*KAFKA, "API_BIND", "JWT_PUBLIC_KEY_FILE", "JWT_SECRET_FILE"}),
    ),
    Chart(
        "etl",
        ugc_etl.settings.Settings,
        frozenset(
            {
                *KAFKA,
                "CLICKHOUSE_HOST",
                "CLICKHOUSE_PORT",
                "CLICKHOUSE_USER",
                "CLICKHOUSE_SECURE",
                "CLICKHOUSE_CA_FILE",
                "CLICKHOUSE_DATABASE",
                "CLICKHOUSE_ANALYTICS_DATABASE",
                "CLICKHOUSE_CLUSTER",
                "METRICS_HOST",
                "METRICS_PORT",
            }
        ),
    ),
)
STORES = (
    Chart("../infra/clickhouse-keeper", None, frozenset()),
    Chart("../infra/strimzi", None, frozenset()),
)
PLATFORM = Chart("ugc-platform", None, frozenset())


def schema_of(chart: Chart) -> str:
    """The text of the chart's values.schema.json.

    Raises ValueError where a key of values.yaml has no comment.
    """
    text = (chart.folder / "values.yaml").read_text("utf-8")
    schema = _object(yaml.safe_load(text), (), _comments(text))
    if chart.settings is not None:
        schema["properties"]["settings"] |= {
            "additionalProperties": False,
            "properties": dict(_settings(chart.settings, chart.free())),
        }
    # Helm puts what a parent chart shares into every subchart's values.
    schema["properties"]["global"] = {"type": "object"}
    # What a parent's `condition` asks is in them too.
    schema["properties"]["enabled"] = {"type": "boolean"}
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": chart.folder.name}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def _object(
    values: dict[str, Any], path: tuple[str, ...], comments: dict[tuple[str, ...], list[str]]
) -> dict[str, Any]:
    properties = {}
    for key, value in values.items():
        lines = comments.get((*path, key), [])
        if not lines and not isinstance(value, dict):
            raise ValueError(f"values.yaml: {'.'.join((*path, key))} has no comment")
        said = [line for line in lines if not line.startswith(_DIRECTIVE)]
        node: dict[str, Any] = {"description": " ".join(said)} if said else {}
        added: dict[str, Any] = {}
        for line in lines:
            if line.startswith(_DIRECTIVE):
                added |= json.loads(line.removeprefix(_DIRECTIVE))
        if isinstance(value, dict) and value and "additionalProperties" not in added:
            node |= _object(value, (*path, key), comments)
        else:
            node["type"] = _type(value)
        properties[key] = node | added
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _type(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "object" if isinstance(value, dict) else names[type(value)]


def _comments(text: str) -> dict[tuple[str, ...], list[str]]:
    """Path of a key to the comment lines directly above it."""
    found: dict[tuple[str, ...], list[str]] = {}
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.lstrip().removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [step for step in path if step[0] < indent] + [(indent, match["key"])]
            found[tuple(key for _, key in path)] = lines
            lines = []
        else:
            lines = []
    return found


def _settings(settings: type[Any], free: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _settings(hint, free)
        elif field.name.upper() in free:
            node = msgspec.json.schema(hint)
            if "pattern" in node:  # Helm's regular expressions are Go's
                pattern = node["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
                node["pattern"] = pattern + r"|\{\{"  # or a template; the process checks it
            if field.default is not MISSING:
                node["default"] = field.default
            yield field.name.upper(), node


if __name__ == "__main__":
    for made in (*SERVICES, *STORES, PLATFORM):
        (made.folder / "values.schema.json").write_text(schema_of(made), "utf-8")
