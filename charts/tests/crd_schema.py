"""The schema of a CRD as the API server reads it, and strict: a field that it has not is wrong."""

from typing import Any

from jsonschema import Draft202012Validator


def validator(crd: dict[str, Any], version: str) -> Draft202012Validator:
    """Judges objects of one of a CRD's versions."""
    (found,) = (each for each in crd["spec"]["versions"] if each["name"] == version)
    schema = found["schema"]["openAPIV3Schema"]
    # Kubernetes' own parts, which a CRD leaves out.
    for name in ("apiVersion", "kind", "metadata"):
        schema["properties"][name] = True
    return Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """With no field that the schema does not have."""
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: _strict(one) for name, one in value.items()}
        if key == "properties"
        else _strict(value)
        for key, value in schema.items()
    }
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made
