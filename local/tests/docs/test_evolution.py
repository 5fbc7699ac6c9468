"""docs/add-a-field.md rolled out: old and new API and ETL on one broker and one engine.

The new release is a copy of this tree with the page's edits applied.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from executable_page import read_page
from reader import REPOSITORY, at_home
from release import PARTITIONS, App, Deployment, Etl, Load, Release, eventually, post, views
from ugc_events import Reason
from ugc_local.chaos.link import Network

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]  # on a busy machine

OLD = Release("old", REPOSITORY)


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Iterator[Release]:
    with at_home(tmp_path_factory.mktemp("new")) as reader:
        for edit in read_page(REPOSITORY / "docs" / "add-a-field.md").edits:
            edit.apply(reader.home)
        yield Release("new", reader.home)


@pytest.fixture
def deployment(tmp_path, kafka, clickhouse, process_guard) -> Iterator[Deployment]:
    with Network() as network:
        made = Deployment(tmp_path, kafka, clickhouse, process_guard, network)
        try:
            made.etl_command(OLD, "migrate")
            yield made
        finally:
            made.close()


def kill_with_intents(deployment: Deployment, etl: Etl) -> dict[int, int]:
    """SIGKILL of the only consumer while it has declared batches and cannot insert them.

    Gives the ends of these batches by partition.
    """
    begun = {number: mark.offset for number, mark in deployment.marks().items()}
    # Where it still asks what was done before it, it would declare nothing behind the cut.
    eventually(
        lambda: all(mark.offset > begun[n] for n, mark in deployment.marks().items()),
        "a partition stands still",
    )
    etl.link.down()

    def declared() -> dict[int, int]:
        return {n: mark.intent.end for n, mark in deployment.marks().items() if mark.intent}

    eventually(lambda: len(declared()) == PARTITIONS, "a partition without an intent")
    etl.consumer.kill()
    # One that was acknowledged right before the cut may have been completed meanwhile.
    ends = declared()
    assert ends
    return ends


def await_takeover(deployment: Deployment, etl: Etl, ends: dict[int, int], decoder: str) -> None:
    """Wait until it has passed the intents of that decoder, and check that it settled them."""
    eventually(
        lambda: all(
            mark.decoder != decoder and mark.offset >= ends.get(number, 0)
            for number, mark in deployment.marks().items()
        ),
        f"intents are not settled: {etl.log.read_text()}",
    )
    assert etl.told(f"the mark is of decoder {decoder}") >= PARTITIONS


def decoders(deployment: Deployment) -> set[str]:
    """Those that the marks are of."""
    return {mark.decoder for mark in deployment.marks().values()}


def decoder_of(deployment: Deployment) -> str:
    """The one version of which all marks are."""
    (decoder,) = decoders(deployment)
    return decoder


@contextmanager
def growing(deployment: Deployment) -> Iterator[None]:
    """Behind the block there are more rows than before it."""
    before = deployment.rows()
    yield
    eventually(lambda: deployment.rows() > before, "no more rows come")


def test_a_field_is_added_while_old_and_new_run_side_by_side(deployment, new):
    api = deployment.start_api(OLD, "api-old")
    first = deployment.start_etl(OLD, "etl-old-1")
    status, answer = post(api, views(1, 150), deployment.token)
    assert (status, json.loads(answer)["results"][0]["reason"]) == (400, "unknown_field")
    load = Load(deployment.token, (App(api),))
    with growing(deployment):
        load.sends()

    deployment.etl_command(new, "migrate")
    with growing(deployment):
        load.sends()

    # An intent of the old decoder is taken over by the new one.
    eventually(lambda: len(deployment.marks()) == PARTITIONS, "partitions without a mark")
    old_decoder = decoder_of(deployment)
    ends = kill_with_intents(deployment, first)
    second = deployment.start_etl(new, "etl-new-2")
    await_takeover(deployment, second, ends, old_decoder)
    new_decoder = decoder_of(deployment)
    assert new_decoder != old_decoder

    # Both in one group.
    third = deployment.start_etl(OLD, "etl-old-3")
    eventually(
        lambda: second.consumer.owns_some() and third.consumer.owns_some(),
        "they do not share the partitions",
    )
    with growing(deployment):
        load.sends()
    eventually(
        lambda: decoders(deployment) == {old_decoder, new_decoder},
        "one decoder commits all marks",
    )

    # And the other way round: what the new one has in flight is taken over by the old one.
    assert third.consumer.leave(120) == 0
    eventually(lambda: decoders(deployment) == {new_decoder}, "not taken back")
    ends = kill_with_intents(deployment, second)
    fourth = deployment.start_etl(OLD, "etl-old-4")
    await_takeover(deployment, fourth, ends, new_decoder)

    fifth = deployment.start_etl(new, "etl-new-5")
    eventually(fifth.consumer.owns_some, "the new one owns nothing")
    with growing(deployment):
        load.sends()
    assert fourth.consumer.leave(120) == 0

    new_api = deployment.start_api(new, "api-new")
    load.apps = (App(api), App(new_api), App(new_api, 150))
    load.sends()
    load.apps = (App(new_api), App(new_api, 150))
    load.sends()
    api.process.stop(grace_s=120)
    load.sends()
    load.stop()

    eventually(deployment.all_done, "records are left")
    assert fifth.consumer.leave(120) == 0
    assert deployment.letters() == []
    total = deployment.audit(new)
    assert total["rows"] == total["offsets"] == deployment.rows() == len(load.accepted)
    assert deployment.speeds() == load.accepted
    assert set(load.accepted.values()) == {None, 150}


def test_records_of_a_future_version_wait_and_are_driven_again_after_the_upgrade(deployment, new):
    old_etl = deployment.start_etl(OLD, "etl-old")
    deployment.etl_command(new, "migrate")
    new_api = deployment.start_api(new, "api-new")
    # The API writes its own version into what an old app sends, too.
    sent = {None: views(5, None), 150: views(10, 150)}
    for events in sent.values():
        status, answer = post(new_api, events, deployment.token)
        assert status == 202, answer
    eventually(lambda: len(deployment.letters()) == 15, "they did not become dead letters")
    assert {letter.reason for letter in deployment.letters()} == {Reason.FUTURE_VERSION}
    eventually(deployment.all_done, "records are left")
    total = deployment.audit(OLD)
    assert (total["rows"], total["dead_letters"]) == (0, 15)

    # Too early: the release that could not take them still cannot.
    redrive = ("dead-letters", "redrive", "--reason", "future_version")
    assert "15 stay" in deployment.etl_command(OLD, *redrive, "--apply")

    new_etl = deployment.start_etl(new, "etl-new")
    assert old_etl.consumer.leave(120) == 0
    assert "15 would become rows" in deployment.etl_command(new, *redrive)
    assert deployment.rows() == 0
    assert "15 become rows" in deployment.etl_command(new, *redrive, "--apply")
    assert deployment.letters() == []
    assert new_etl.consumer.leave(120) == 0
    total = deployment.audit(new)
    assert (total["rows"], total["dead_letters"], total["offsets"]) == (15, 0, 15)
    told = {event["event_id"]: speed for speed, events in sent.items() for event in events}
    assert {str(event): speed for event, speed in deployment.speeds().items()} == told
