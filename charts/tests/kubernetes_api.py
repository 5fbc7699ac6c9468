"""The API schemas of Kubernetes' versions, strict: a field that does not exist is wrong."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

# No version of Kubernetes has these, but operators; strimzi_crds has the schemas of theirs.
NOT_KUBERNETES = {"cert-manager.io/v1", "kafka.strimzi.io/v1", "monitoring.coreos.com/v1"}


def problems(found: dict[str, Any], version: str) -> list[str]:
    """What Kubernetes `version` (1.30, ...) would not take of an object, in words."""
    api = found["apiVersion"]
    if api in NOT_KUBERNETES:
        return []
    group, _, rest = api.rpartition("/")
    name = f"{group.partition('.')[0]}-{rest}" if group else rest
    validator = _validator(version, f"{found['kind'].lower()}-{name}.json")
    return [
        f"{found['kind']} {found['metadata']['name']}: {error.json_path}: {error.message}"
        for error in validator.iter_errors(found)
    ]


@cache
def _validator(version: str, file: str) -> Draft202012Validator:
    return Draft202012Validator(_read(version, file), registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    return Resource.from_contents(_read(version, "_definitions.json")) @ Registry()


def _read(version: str, file: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema"
    return json.loads((folder / f"v{version}.0-local-strict" / file).read_text("utf-8"))
