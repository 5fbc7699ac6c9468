"""From environment variables to a frozen dataclass, and from the dataclass to its documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")


class Secret:
    """A text that no log, traceback or format string shows. `reveal()` is easy to search for."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)" if self else "Secret('')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text


class SettingsError(ValueError):
    """The environment does not make valid settings. The message names each variable at fault."""


@dataclass(frozen=True)
class Variable:
    """One environment variable: its name, type, default (None when required) and meaning."""

    name: str
    type: str
    default: str | None
    description: str
    secret: bool


def load(settings: type[T], environ: Mapping[str, str]) -> T:
    """Build `settings` from `environ`.

    A variable that is set but empty counts as not set. Raises SettingsError with one line for
    each variable that is missing or wrong; the value of a secret is never in it.
    """
    problems: list[str] = []
    loaded = _load(settings, environ, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return loaded


def describe(settings: type[Any]) -> list[Variable]:
    """Every variable that `load` reads for `settings`, in the order of declaration."""
    return list(_variables(settings))


def _load(settings: type[T], environ: Mapping[str, str], problems: list[str]) -> T:
    values: dict[str, Any] = {}
    for field, hint in _fields(settings):
        if is_dataclass(hint) and isinstance(hint, type):
            values[field.name] = _load(hint, environ, problems)
            continue
        name = field.name.upper()
        text = environ.get(name, "")
        if not text:
            if _required(field):
                problems.append(f"{name} is not set: {_description(hint)}")
            continue
        try:
            values[field.name] = _convert(text, hint)
        except (msgspec.ValidationError, ValueError) as error:
            shown = "" if _is_secret(hint) else f" (it is {text!r})"
            problems.append(f"{name}: {error}{shown}")
    if problems:
        return settings.__new__(settings)  # never seen: `load` raises
    try:
        return settings(**values)
    except ValueError as error:
        problems.append(str(error))
        return settings.__new__(settings)


def _convert(text: str, hint: Any) -> Any:
    if _is_secret(hint):
        return Secret(text)
    return msgspec.convert(text, hint, strict=False)


def _variables(settings: type[Any]) -> Iterator[Variable]:
    for field, hint in _fields(settings):
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _variables(hint)
            continue
        default = None if _required(field) else _shown(field.default)
        yield Variable(
            field.name.upper(), _type_name(hint), default, _description(hint), _is_secret(hint)
        )


def _fields(settings: type[Any]) -> Iterator[tuple[Field[Any], Any]]:
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        yield field, hints[field.name]


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _is_secret(hint: Any) -> bool:
    return _bare(hint) is Secret


def _type_name(hint: Any) -> str:
    bare = _bare(hint)
    if get_args(bare):
        return " | ".join(str(arg) for arg in get_args(bare))
    return str(getattr(bare, "__name__", bare))


def _description(hint: Any) -> str:
    for extra in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        if isinstance(extra, msgspec.Meta) and extra.description:
            return extra.description
    return ""


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is MISSING else str(default)
