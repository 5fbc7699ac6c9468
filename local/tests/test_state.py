import os

import pytest
from ugc_local.credentials import keep_credentials
from ugc_local.ports import PortNumbers
from ugc_local.process import ProcessIdentity
from ugc_local.state import (
    Endpoints,
    ProcessRecord,
    StackState,
    StateError,
    delete_data,
    exclusive,
    is_busy,
    read_ports,
    read_state,
    remove_state,
    write_ports,
    write_state,
)

ENDPOINTS = Endpoints(
    kafka_bootstrap="127.0.0.1:1",
    clickhouse_host="127.0.0.1",
    clickhouse_native_port=2,
    clickhouse_http_url="http://127.0.0.1:3",
    clickhouse_kind="embedded",
    api_url="http://127.0.0.1:4",
    etl_metrics_urls=("http://127.0.0.1:5",),
)


def record(name: str, pid: int, created_s: float) -> ProcessRecord:
    return ProcessRecord(name, pid, created_s, log=f"/logs/{name}.log")


def test_a_state_is_read_as_it_was_written_until_it_is_removed(tmp_path):
    me = ProcessIdentity.of(os.getpid())
    state = StackState(ENDPOINTS, (record("a", me.pid, me.created_s), record("b", 1, 2.5)))
    assert read_state(tmp_path) is None
    write_state(tmp_path, StackState(ENDPOINTS))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def test_only_processes_with_their_time_of_creation_are_alive():
    me = ProcessIdentity.of(os.getpid())
    mine, reused = record("mine", me.pid, me.created_s), record("reused", me.pid, 1.0)
    state = StackState(ENDPOINTS, (mine, reused), boot_id="this one")
    assert state.alive("this one") == [mine]
    assert state.alive("the next one") == []


@pytest.mark.parametrize("damage", ["{", '{"endpoints": 1}', ""])
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / "state.json").write_text(damage)
    with pytest.raises(StateError, match=r"state\.json cannot be read"):
        read_state(tmp_path)
    (tmp_path / "credentials.json").write_text(damage)
    with pytest.raises(StateError, match=r"credentials\.json cannot be read"):
        keep_credentials(tmp_path)


def test_ports_are_remembered_and_a_damaged_note_is_none(tmp_path):
    ports = PortNumbers(1, 2, 3, 4, 5, (6, 7))
    assert read_ports(tmp_path) is None
    write_ports(tmp_path, ports)
    assert read_ports(tmp_path) == ports
    (tmp_path / "ports.json").write_text("{")
    assert read_ports(tmp_path) is None


def test_a_directory_is_busy_while_a_command_has_it(tmp_path):
    assert not is_busy(tmp_path)
    with exclusive(tmp_path):
        assert is_busy(tmp_path)
    assert not is_busy(tmp_path)


def test_credentials_are_made_once_and_differ_between_directories(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    first = keep_credentials(one)
    assert keep_credentials(one) == first
    second = keep_credentials(other)
    for name in first.__struct_fields__:
        assert len(getattr(first, name)) >= 32
        assert getattr(first, name) != getattr(second, name)


def test_one_command_at_a_time_has_the_directory(tmp_path):
    with exclusive(tmp_path / "new"):
        with pytest.raises(StateError, match="another command is at work"):
            exclusive(tmp_path / "new").__enter__()
        with exclusive(tmp_path / "other"):
            pass
    with exclusive(tmp_path / "new"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_only_a_stacks_own_data_are_deleted(tmp_path):
    with exclusive(tmp_path):
        delete_data(tmp_path)
        (tmp_path / "note.txt").touch()
        with pytest.raises(StateError, match="not empty, and not the directory of a stack"):
            delete_data(tmp_path)
        first = keep_credentials(tmp_path)
        (tmp_path / "kafka").mkdir()
        (tmp_path / "kafka" / "segment").touch()
        delete_data(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "note.txt"}
    assert keep_credentials(tmp_path) != first
