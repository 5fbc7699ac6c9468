"""The API schemas of Kubernetes' versions and of operators, strict: a field that is not there is
wrong."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import crd_schema
import operator_crds
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

STRIMZI = "kafka.strimzi.io/v1"
"""strimzi_crds judges its objects."""


def problems(found: dict[str, Any], version: str) -> list[str]:
    """What Kubernetes `version` (1.30, ...) would not take of an object, in words."""
    api = found["apiVersion"]
    if api == STRIMZI:
        return []
    group, _, rest = api.rpartition("/")
    if api in operator_crds.MODULES:
        validator = _of_an_operator(api, found["kind"])
    else:
        name = f"{group.partition('.')[0]}-{rest}" if group else rest
        validator = _validator(version, f"{found['kind'].lower()}-{name}.json")
    return [
        f"{found['kind']} {found['metadata']['name']}: {error.json_path}: {error.message}"
        for error in validator.iter_errors(found)
    ]


@cache
def _of_an_operator(api: str, kind: str) -> Draft202012Validator:
    return crd_schema.validator(operator_crds.crds(api)[kind], api.rpartition("/")[2])


@cache
def _validator(version: str, file: str) -> Draft202012Validator:
    return Draft202012Validator(_read(version, file), registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    return Resource.from_contents(_read(version, "_definitions.json")) @ Registry()


def _read(version: str, file: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema"
    return json.loads((folder / f"v{version}.0-local-strict" / file).read_text("utf-8"))
