"""The name of an insert, by which ClickHouse knows a repetition."""

from ugc_etl.batch import Batch


def insert_token(batch: Batch, table: str, *, generation: int = 0, attempt: int = 0) -> str:
    """`topic_id:partition:start-end:table:generation:attempt`.

    ClickHouse believes the token before the content, so everything that makes two inserts
    different is in it: a topic made anew starts its offsets again (topic id), a replay is meant
    to land again (generation), a batch cut anew has other rows (start, end, attempt).
    """
    partition = batch.partition
    return (
        f"{partition.topic_id}:{partition.number}:{batch.start}-{batch.end}"
        f":{table}:{generation}:{attempt}"
    )
