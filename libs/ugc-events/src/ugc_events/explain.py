"""From the decoder's message to the field and the reason that a client can act on.

msgspec reports the first violation as a sentence with a path; its wording is pinned by tests.
"""

import re

from ugc_events.verdicts import Invalid, Reason

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_NAMED = re.compile(
    r"^Object (?P<what>missing required|contains unknown) field `(?P<name>.*?)`", re.DOTALL
)
_EXPECTED = re.compile(r"^Expected `(?P<expected>[^`]*)`(?P<rest>.*)$", re.DOTALL)
_MAX_FIELD_CHARS = 64


def explain_validation(message: str) -> Invalid:
    """Turn the message of a `msgspec.ValidationError` into a verdict."""
    path = _PATH.search(message)
    sentence = message[: path.start()] if path else message
    field = _top_level(path["path"]) if path else ""
    if named := _NAMED.match(sentence):
        name = field or named["name"][:_MAX_FIELD_CHARS]
        if named["what"].startswith("missing"):
            return Invalid(name, Reason.MISSING, "the field is required")
        return Invalid(name, Reason.UNKNOWN_FIELD, "this type of event has no such field")
    if field == "type" and sentence.startswith("Invalid value"):
        return Invalid("type", Reason.UNKNOWN_TYPE, "no such type of event here")
    if expected := _EXPECTED.match(sentence):
        rest = expected["rest"]
        detail = f"expected {expected['expected']}{rest}".replace("`", "")
        return Invalid(field, _reason_of(rest), detail)
    if sentence.startswith("Integer value out of range"):
        return Invalid(field, Reason.OUT_OF_RANGE, "the number does not fit 64 bits")
    return Invalid(field, Reason.WRONG_FORMAT, sentence)


def _reason_of(rest: str) -> Reason:
    """What follows "Expected `type`": nothing or what was got, a pattern, or a bound."""
    if not rest or rest.startswith(", got"):
        return Reason.WRONG_TYPE
    if "matching regex" in rest or "timezone" in rest:
        return Reason.WRONG_FORMAT
    return Reason.OUT_OF_RANGE


def _top_level(path: str) -> str:
    """`.filters[...]` is `filters`; the path of the whole event is ``""``."""
    return re.split(r"[.\[]", path.removeprefix("."), maxsplit=1)[0]
