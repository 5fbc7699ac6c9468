"""The version of what becomes a row, and of how."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec.structs import fields
from ugc_events import Family
from ugc_events.codec import bounds_of

_DECODING = 1
"""Goes up with every change of decoding that the types do not show."""


def contract_version(families: Iterable[Family]) -> str:
    """Another one for every change of types, versions, fields, bounds or columns; short."""
    said = [
        (
            family.name,
            family.columns,
            # Resolved and with those of the envelope: an annotation is only a name for its bounds.
            [(t.__struct_config__.tag, t.VERSION, fields(t), bounds_of(t)) for t in family.types],
        )
        for family in families
    ]
    digest = hashlib.blake2s(repr(said).encode(), digest_size=6).hexdigest()
    return f"{_DECODING}-{digest}"
