"""Marks as the text that Kafka keeps beside a committed offset.

Kafka takes 4096 bytes (`offset.metadata.max.bytes`). The text is never empty, so that empty
metadata means that some other tool has committed.
"""

from __future__ import annotations

import msgspec

from ugc_etl.protocol.intent import Foreign, Intent, Kind, Mark

VERSION = 1
MAX_BYTES = 4096


class _Intent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    end: int
    attempt: int
    shard: int
    table: str
    decoder: str
    insert_by_s: int
    kind: Kind = Kind.NORMAL
    generation: int = 0


class _Mark(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    v: int
    topic_id: str
    decoder: str
    intent: _Intent | None = None
    recover_until: int | None = None
    hunt_until: int | None = None


_DECODER = msgspec.json.Decoder(_Mark)
_VERSION = msgspec.json.Decoder(dict[str, object])


def encode_metadata(mark: Mark) -> str:
    """The metadata of a mark. Raises ValueError where Kafka would not take it."""
    intent = mark.intent
    text = msgspec.json.encode(
        _Mark(
            v=VERSION,
            topic_id=mark.topic_id,
            decoder=mark.decoder,
            intent=None
            if intent is None
            else _Intent(
                end=intent.end,
                attempt=intent.attempt,
                shard=intent.shard,
                table=intent.table,
                decoder=intent.decoder,
                insert_by_s=intent.insert_by_s,
                kind=intent.kind,
                generation=intent.generation,
            ),
            recover_until=mark.recover_until,
            hunt_until=mark.hunt_until,
        )
    )
    if len(text) >= MAX_BYTES:
        raise ValueError(f"metadata of {len(text)} bytes: Kafka takes {MAX_BYTES}")
    return text.decode()


def decode_metadata(offset: int, metadata: str | None) -> Mark | Foreign:
    """The mark of a committed offset; Foreign where the metadata is not exactly ours."""
    if not metadata:
        return Foreign(offset, "some other tool has committed it: it has no metadata")
    try:
        found = _DECODER.decode(metadata)
    except msgspec.MsgspecError as error:
        return Foreign(offset, _what_else(metadata, str(error)))
    if found.v != VERSION:
        return Foreign(
            offset, f"its metadata is of version {found.v}, this software knows {VERSION}"
        )
    if found.intent is not None and found.intent.end <= offset:
        return Foreign(offset, "its intent ends where it begins: it was copied to another offset")
    declared = found.intent
    return Mark(
        topic_id=found.topic_id,
        offset=offset,
        decoder=found.decoder,
        intent=None
        if declared is None
        else Intent(
            start=offset,
            end=declared.end,
            attempt=declared.attempt,
            shard=declared.shard,
            table=declared.table,
            decoder=declared.decoder,
            insert_by_s=declared.insert_by_s,
            kind=declared.kind,
            generation=declared.generation,
        ),
        recover_until=found.recover_until,
        hunt_until=found.hunt_until,
    )


def _what_else(metadata: str, complaint: str) -> str:
    try:
        version = _VERSION.decode(metadata).get("v")
    except msgspec.MsgspecError:
        return f"its metadata is not this software's ({complaint})"
    if version != VERSION:
        return f"its metadata is of version {version}, this software knows {VERSION}"
    return f"its metadata is damaged ({complaint})"
