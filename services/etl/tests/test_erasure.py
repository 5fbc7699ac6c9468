import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import TOPIC_ID
from stores import connect, new_deployment
from ugc_etl.erasure import ErasedViewers, erased_viewers_sql, ledger_sql
from ugc_etl.schema import migrate

viewer_numbers = st.sampled_from([0, 1, 2, 7, 2**63, 2**64 - 1])
times_ms = st.integers(0, 5)


@given(
    st.dictionaries(viewer_numbers, times_ms),
    st.lists(st.tuples(viewer_numbers, times_ms)),
)
def test_a_row_is_erased_where_its_viewer_is_listed_and_it_is_older(listed, rows):
    erased = ErasedViewers.of(listed.items())
    mask = erased.mask(
        np.array([viewer for viewer, _ in rows], np.uint64),
        np.array([at_ms for _, at_ms in rows], np.int64),
    )
    assert mask.tolist() == [at_ms < listed.get(viewer, 0) for viewer, at_ms in rows]


def test_nobody_is_erased_by_an_empty_list():
    mask = ErasedViewers.NONE.mask(np.array([1], np.uint64), np.array([0], np.int64))
    assert mask.tolist() == [False]


@pytest.mark.integration
def test_the_list_and_the_ledger_are_written_and_read(clickhouse):
    deployment, client = new_deployment(), connect(clickhouse)
    migrate(client, deployment)
    for erased_at in ("2026-01-01 00:00:00.500", "2025-01-01 00:00:00.000"):
        client.execute(
            f"INSERT INTO {deployment.table('erased_viewers')} (viewer, erased_at)"
            f" SELECT 18446744073709551615, '{erased_at}'"
        )
    erased = ErasedViewers.of(client.execute(erased_viewers_sql(deployment)))
    assert erased.viewers.tolist() == [2**64 - 1]
    assert erased.cutoffs_ms.tolist() == [1_767_225_600_500]

    client.execute(ledger_sql(deployment, TOPIC_ID, 3, [7, 2**63]))
    client.execute(ledger_sql(deployment, TOPIC_ID, 3, [7]))
    many = range(10**12, 10**12 + 60_000, 3)
    client.execute(ledger_sql(deployment, TOPIC_ID, 4, many))
    places = client.execute(
        "SELECT DISTINCT toString(topic_id), partition, offset"
        f" FROM {deployment.table('erased_places')} WHERE partition = 3 ORDER BY offset"
    )
    assert places == [(TOPIC_ID, 3, 7), (TOPIC_ID, 3, 2**63)]
    of_many = client.execute(
        f"SELECT DISTINCT offset FROM {deployment.table('erased_places')}"
        " WHERE partition = 4 ORDER BY offset"
    )
    assert [offset for (offset,) in of_many] == list(many)
    client.close()
