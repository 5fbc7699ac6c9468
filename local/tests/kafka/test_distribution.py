import os
from pathlib import Path

import pytest
from ugc_local.kafka import distribution
from ugc_local.kafka.distribution import (
    KAFKA_VERSION,
    DistributionError,
    Jar,
    classpath,
    local_repository,
    lock_text,
    locked_jars,
)

UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def unreachable(monkeypatch):
    """No route to Maven Central."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, UNREACHABLE)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def no_step(step: str) -> None:
    pytest.fail(f"unexpected step: {step}")


@pytest.fixture(scope="session")
def warm_repository():
    repository = local_repository(os.environ)
    classpath(repository, on_step=print)
    return repository


def test_the_lock_has_one_version_of_kafka_and_no_jar_twice():
    jars = locked_jars()
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {KAFKA_VERSION}
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_the_lock_is_as_it_would_be_written():
    text = Path(distribution.__file__).with_name("jars.lock").read_text()
    assert lock_text(sorted(locked_jars())) == text


def test_the_repository_is_mavens_unless_told():
    assert local_repository({}) == Path.home() / ".m2" / "repository"
    assert local_repository({"M2_REPO": "/somewhere"}) == Path("/somewhere")


@pytest.mark.integration
def test_a_warm_repository_needs_no_network(warm_repository, unreachable):
    found = classpath(warm_repository, on_step=no_step)
    assert [path.name for path in found] == [f"{j.artifact}-{j.version}.jar" for j in locked_jars()]


@pytest.mark.integration
def test_without_jars_and_network_one_sentence_says_what_to_do(tmp_path, unreachable):
    steps: list[str] = []
    with pytest.raises(
        DistributionError, match=r"could not be fetched from Maven Central.*M2_REPO"
    ):
        classpath(tmp_path / "m2", on_step=steps.append)
    assert steps == [f"downloading Apache Kafka {KAFKA_VERSION}: {len(locked_jars())} jars"]


@pytest.mark.integration
def test_a_missing_and_a_broken_jar_are_fetched(tmp_path, warm_repository):
    small = sorted(locked_jars(), key=lambda j: j.path_in(warm_repository).stat().st_size)[:2]
    for jar in small:
        jar.path_in(tmp_path).parent.mkdir(parents=True)
    broken = small[0].path_in(tmp_path)
    broken.write_bytes(b"half of a j")
    found = classpath(tmp_path, on_step=print, jars=small)
    assert [path.read_bytes() for path in found] == [
        jar.path_in(warm_repository).read_bytes() for jar in small
    ]
    assert not list(tmp_path.glob(".ugc-*"))


@pytest.mark.integration
def test_a_jar_that_is_not_the_locked_one_is_refused(tmp_path, warm_repository):
    smallest = min(locked_jars(), key=lambda j: j.path_in(warm_repository).stat().st_size)
    other = Jar(smallest.group, smallest.artifact, smallest.version, "0" * 64)
    with pytest.raises(DistributionError, match=f"{smallest} came from Maven Central with SHA-256"):
        classpath(tmp_path, on_step=print, jars=[other])
    assert not other.path_in(tmp_path).exists()


def test_a_repository_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DistributionError, match=str(tmp_path / "file" / "m2")):
        classpath(tmp_path / "file" / "m2", on_step=print)
