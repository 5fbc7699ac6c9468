"""Records that are almost what they should be, and whether a batch of them decodes one by one.

`python services/etl/tests/record_fuzz.py CASES [SEED]` compares many more than the tests do.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from samples import NOW_MS, envelope, interactions, reactions, records, view
from ugc_etl.decode import Decoder
from ugc_events import FAMILIES, Family, Invalid, PageView, decode_record, encode_record
from ugc_events.registry import ENVELOPE_COLUMNS

_EVERY_VERSION = Path(__file__).parents[3] / "libs/ugc-events/tests/records_of_every_version.jsonl"


def _newest(family: Family) -> list[bytes]:
    """A record of each type, so that a new family has some without a line here."""
    versions = {str(t.__struct_config__.tag): t.VERSION for t in family.types}
    return [
        line
        for line in _EVERY_VERSION.read_bytes().splitlines()
        if (record := msgspec.json.decode(line))["schema_version"] == versions.get(record["type"])
    ]


_MORE: dict[str, list[bytes]] = {
    "views": [encode_record(view(n)) for n in range(40)],
    "interactions": [
        *map(encode_record, interactions(12)),
        *(
            encode_record(PageView(**envelope(n), path="/films", dwell_ms=n * 999, content_id=film))
            for n, film in enumerate([None, UUID(int=77), UUID(int=2**127)])
        ),
    ],
    "reactions": [encode_record(event) for event in reactions(12)],
}
CANONICAL = {f.name: [*_newest(f), *_MORE.get(f.name, ())] for f in FAMILIES}

VALUES = [
    b"0", b"-0", b"-1", b"00", b"01", b"1", b"9", b"10", b"11", b"1.0", b"1e3", b"1E-2", b"0.5",
    b"86400000", b"86400001", b"99999999", b"123456789", b"1577836799999", b"1577836800000",
    b"4102444800000", b"4102444800001", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b"1" * 400, b"NaN", b"Infinity", b"-Infinity", b"null", b"true",
    b"false", b"nul", b'""', b'"a"', b'"A"', b'"tv"', b'"-tv"', b'"t v"', b'"t\\u0076"', b'"\\""',
    b'"\\ud800"', b'"\xff"', b'"\xc3\xa9"', b'"\x7f"', b'"\x00"', b'"\n"', b"{}", b"[]", b"[1]",
    b'{"a":"b"}', b'{"a":1}', b'"' + b"x" * 32 + b'"', b'"' + b"x" * 33 + b'"',
    b'"' + b"x" * 64 + b'"', b'"' + b"x" * 65 + b'"', b'"' + b"x" * 128 + b'"',
    b'"' + b"x" * 129 + b'"', b'"' + b"x" * 2049 + b'"', b'"' + b"x" * 10001 + b'"',
    b'"00000000-0000-0000-0000-000000000000"', b'"ABCDEF00-0000-0000-0000-000000000000"',
    b'"00000000000000000000000000000000"', b'"{00000000-0000-0000-0000-000000000000}"',
    b'"0000000-00000-0000-0000-000000000000"', b'"0000000g-0000-0000-0000-000000000000"',
    b'"00000000-0000-0000-0000-00000000000"', b'"00000000-0000-0000-0000-0000000000000"',
    b"[" * 2000, b'"view_progress"', b'"click"', b'"search"', b'""',
]  # fmt: skip
_FIELD = re.compile(rb'"(\w+)":("[^"]*"|[^,{}"]+|\{[^}]*\})')


def _field(rng: random.Random, record: bytes) -> re.Match[bytes] | None:
    found = list(_FIELD.finditer(record))
    return rng.choice(found) if found else None


def _other_value(rng: random.Random, record: bytes) -> bytes:
    if (field := _field(rng, record)) is None:
        return record
    return record[: field.start(2)] + rng.choice(VALUES) + record[field.end(2) :]


def _value_of_another(rng: random.Random, record: bytes) -> bytes:
    one, other = _field(rng, record), _field(rng, record)
    if one is None or other is None:
        return record
    return record[: one.start(2)] + other[2] + record[one.end(2) :]


def _without_a_field(rng: random.Random, record: bytes) -> bytes:
    if (field := _field(rng, record)) is None:
        return record
    return record[: field.start()] + record[field.end() + 1 :]


def _with_a_field(rng: random.Random, record: bytes) -> bytes:
    name = rng.choice([b"extra", b"type", b"event_id", b"position_ms", b"device", b"text", b""])
    at = rng.choice([1, len(record) - 1])
    added = b'"%s":%s' % (name, rng.choice(VALUES))
    return record[:at] + (added + b"," if at == 1 else b"," + added) + record[at:]


def _fields_in_another_order(rng: random.Random, record: bytes) -> bytes:
    fields = [field[0] for field in _FIELD.finditer(record)]
    rng.shuffle(fields)
    return b"{" + b",".join(fields) + b"}"


def _a_byte_changed(rng: random.Random, record: bytes) -> bytes:
    at = rng.randrange(len(record) + 1)
    return record[:at] + bytes([rng.randrange(256)]) + record[at + 1 :]


def _a_character_changed(rng: random.Random, record: bytes) -> bytes:
    at = rng.randrange(len(record) + 1)
    return (
        record[:at]
        + rng.choice(b'0123456789abcfgAF"{}[],:-+. \\\t\n\0eE').to_bytes()
        + (record[at + rng.randrange(2) :])
    )


def _a_piece_gone(rng: random.Random, record: bytes) -> bytes:
    at = rng.randrange(len(record) + 1)
    return record[:at] + record[at + rng.choice([1, 2, 8, 36, len(record)]) :]


def _a_piece_repeated(rng: random.Random, record: bytes) -> bytes:
    at, size = rng.randrange(len(record) + 1), rng.choice([1, 2, 8, 36, 40])
    return record[: at + size] + record[at:]


def _something_around(rng: random.Random, record: bytes) -> bytes:
    before, after = rng.choice(
        [(b"\xef\xbb\xbf", b""), (b" ", b""), (b"", b"\n"), (b"", b"\0"), (b"", b"}"), (b"[", b"]"),
         (b"", b"," + record), (b"", record), (b"", b" {}"), (b"\0", b""), (b"", b" " * 9)]
    )  # fmt: skip
    return before + record + after


def _white_space_inside(rng: random.Random, record: bytes) -> bytes:
    mark = rng.choice([b":", b",", b"{", b"}", b'"'])
    return record.replace(mark, mark + rng.choice([b" ", b"\t", b"\n "]), rng.randrange(1, 4))


def _other_case(rng: random.Random, record: bytes) -> bytes:
    field = _field(rng, record)
    if field is None:
        return record
    return record[: field.start(2)] + field[2].upper() + record[field.end(2) :]


def _nothing(rng: random.Random, _: bytes) -> bytes:
    return rng.choice([b"", b" ", b"null", b"{}", b"[]", b"{", b"1", b'""', b"\xff", b"[" * 3000])


MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    _other_value, _other_value, _other_value, _value_of_another, _without_a_field, _with_a_field,
    _fields_in_another_order, _a_byte_changed, _a_byte_changed, _a_character_changed,
    _a_character_changed, _a_piece_gone, _a_piece_repeated, _something_around, _white_space_inside,
    _other_case, _nothing,
]  # fmt: skip


def almost_records(rng: random.Random, family: Family, count: int) -> list[bytes | None]:
    """Canonical records of the family, most of them changed once or twice."""
    values: list[bytes | None] = []
    for _ in range(count):
        # Now and then another family's.
        name = family.name if rng.random() < 0.95 else rng.choice(FAMILIES).name
        record = rng.choice(CANONICAL[name])
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            record = rng.choice(MUTATIONS)(rng, record)
        values.append(record if rng.random() < 0.99 else None)
    return values


def one_by_one(family: Family, values: Sequence[bytes | None]) -> tuple[list[Any], list[Any]]:
    """What the contract's own decoder says: rows and verdicts, each with its place."""
    rows, verdicts = [], []
    for place, value in enumerate(values):
        event = decode_record(family, value)
        if isinstance(event, Invalid):
            verdicts.append((place, value, event.field, event.reason, event.detail))
            continue
        row: list[Any] = [place]
        for column in (*ENVELOPE_COLUMNS, *family.columns):
            if column.name == "type":
                row.append(event.__struct_config__.tag)
            else:
                absent = {"Nullable": None, "Map": {}, "UUID": UUID(int=0)}.get(
                    column.type.partition("(")[0], 0 if "Int" in column.type else ""
                )
                row.append(getattr(event, column.name, absent))
        rows.append(row)
    return rows, verdicts


def all_at_once(
    decoder: Decoder, family: Family, values: Sequence[bytes | None]
) -> tuple[list[Any], list[Any]]:
    """The same of the batch decoder."""
    [decoded] = decoder.decode(records(values, NOW_MS, first_offset=0), 0).values()
    assert len(decoded) == len(values)
    rows = []
    for number, offset in enumerate(decoded.rows["_offset"].tolist()):
        cells: list[Any] = [offset]
        for column in (*ENVELOPE_COLUMNS, *family.columns):
            cell, kind = decoded.rows[column.name][number], column.type
            if kind.startswith("Nullable"):
                kind = kind.removeprefix("Nullable(").removesuffix(")")
                if kind != "String":
                    null, cell = cell
                    cell = None if null else cell
                if cell is None:
                    cells.append(None)
                    continue
            cells.append(
                UUID(bytes=cell.tobytes()) if kind == "UUID"
                else bool(cell) if kind == "Bool"
                else cell if isinstance(cell, str | dict) else int(cell)
            )  # fmt: skip
        rows.append(cells)
    return rows, [(x.offset, x.value, x.field, x.reason, x.detail) for x in decoded.dead_letters]


def compare(decoder: Decoder, family: Family, values: Sequence[bytes | None]) -> int:
    """Fail with the first difference; the number of records that were taken."""
    expected, found = one_by_one(family, values), all_at_once(decoder, family, values)
    for kind, (right, ours) in enumerate(zip(expected, found, strict=True)):
        for one, other in zip(right, ours, strict=False):
            assert one == other, (("row", "letter")[kind], values[one[0]], values[other[0]])
        assert len(right) == len(ours)
    return len(expected[0])


def main() -> None:
    cases, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    decoders = [(Decoder(family), family) for family in FAMILIES]
    done = taken = 0
    while done < cases:
        for decoder, family in decoders:
            size = rng.choice([1, 1, 2, 7, 300, 300])
            taken += compare(decoder, family, almost_records(rng, family, size))
            done += size
    print(f"{done} records, {taken} of them taken, no difference")


if __name__ == "__main__":
    main()
