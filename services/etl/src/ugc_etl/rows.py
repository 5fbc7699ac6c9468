"""The rows of a batch as one block of its table."""

from __future__ import annotations

from uuid import UUID

from ugc_events import Family

from ugc_etl.native_block import Block, Values, constant_column, encode_column
from ugc_etl.pseudonym import viewers
from ugc_etl.records import Partition
from ugc_etl.row_table import Rows
from ugc_etl.schema import PIPELINE_COLUMNS, raw_columns

INSERT_BY = next(column for column in PIPELINE_COLUMNS if column.name == "_insert_by")
"""The deadline's column, which is put in when the block is sent."""


def block_of(
    family: Family,
    partition: Partition,
    rows: Rows,
    pseudonym_key: bytes,
    *,
    generation: int = 0,
    attempt: int = 0,
) -> Block:
    """The rows of a batch in the order of the table's columns, `_insert_by` still zero."""
    count = len(rows)
    constants: dict[str, object] = {
        "_topic_id": UUID(partition.topic_id),
        "_partition": partition.number,
        "_generation": generation,
        "_attempt": attempt,
        INSERT_BY.name: 0,
    }
    columns = []
    for column in raw_columns(family):
        if column.name in constants:
            encoded = constant_column(column.name, column.type, constants[column.name], count)
        else:
            values: Values = (
                viewers(rows["user_id"], pseudonym_key)
                if column.name == "viewer"
                else rows[column.name]
            )
            encoded = encode_column(column.name, column.type, values)
        columns.append(encoded)
    return Block(count, tuple(columns))
