"""The stack with the real broker; our services and ClickHouse are stood for by small programs."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ugc_events import registry
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.kafka.client import KafkaClient
from ugc_local.options import PortChoice, Services, StackOptions
from ugc_local.ports import LOOPBACK
from ugc_local.process import ProcessIdentity
from ugc_local.stack import Stack
from ugc_local.stack_error import StackError
from ugc_local.state import (
    Endpoints,
    ProcessRecord,
    StackState,
    exclusive,
    read_ports,
    read_state,
    write_state,
)
from ugc_local.stopping import stop_stack

pytestmark = pytest.mark.integration

FAKE = Path(__file__).with_name("fake_service.py")


def fake(role: str) -> tuple[str, ...]:
    return (sys.executable, str(FAKE), role)


SERVICES = Services(api=fake("api"), migrate=fake("migrate"), etl=fake("etl"))


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    """With a program in the place of a ClickHouse server's binary."""
    binary = tmp_path_factory.mktemp("bin") / "clickhouse"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    binary.chmod(0o755)
    return {**os.environ, "CLICKHOUSE_BIN": str(binary), "KAFKA_BOOTSTRAP_SERVERS": "elsewhere"}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return StackOptions(tmp_path_factory.mktemp("stack"), partitions=3, services=SERVICES)


@pytest.fixture(scope="module")
def stack(options, environ):
    with Stack(options, environ) as stack:
        yield stack


def settings_of(stack: Stack, name: str, data_dir: Path) -> dict[str, str]:
    role = name.partition("-")[0]
    note = data_dir / f"{role}-{stack.processes[name].pid}.json"
    return json.loads(note.read_text())


def running_in(data_dir: Path) -> list[str]:
    """Every process that works in this directory or below it."""
    seen = [process.info for process in psutil.process_iter(["cmdline", "cwd", "status"])]
    return [
        str(info["cmdline"])
        for info in seen
        if (info["cwd"] or "").startswith(str(data_dir)) and info["status"] != "zombie"
    ]


def test_everything_runs_and_is_healthy(stack):
    assert list(stack.processes) == ["clickhouse", "kafka", "api", "etl-1", "etl-2"]
    stack.require_running()
    urls = [stack.api_url, stack.clickhouse_http_url, *stack.endpoints.etl_metrics_urls]
    assert all(answers_ok(f"{url}/") for url in urls)
    assert all(identity.is_alive() for identity in stack.identities().values())


def test_every_topic_of_the_registry_exists(stack):
    expected = {spec.name: 3 if spec.partitioned else 1 for spec in registry.topics()}
    assert KafkaClient(stack.kafka_bootstrap).topics() == expected


def test_services_get_their_settings_and_no_others(stack, options):
    api = settings_of(stack, "api", options.data_dir)
    assert api["KAFKA_BOOTSTRAP_SERVERS"] == stack.kafka_bootstrap
    assert api["JWT_SECRET"] == stack.credentials.jwt_secret
    assert f"http://{api['API_BIND']}" == stack.api_url
    assert "PSEUDONYM_KEY" not in api
    etl = settings_of(stack, "etl-2", options.data_dir)
    assert (etl["CLICKHOUSE_HOST"], int(etl["CLICKHOUSE_PORT"])) == stack.clickhouse_native
    assert etl["CLICKHOUSE_USER"] == "etl"
    assert etl["CLICKHOUSE_PASSWORD"] == stack.credentials.writer_password
    assert etl["KAFKA_GROUP_ID"] == "ugc-etl"
    assert "JWT_SECRET" not in etl
    (migrate,) = options.data_dir.glob("migrate-*.json")
    assert json.loads(migrate.read_text())["CLICKHOUSE_USER"] == "default"


def test_secrets_are_private_and_not_in_the_state(stack, options):
    secrets_file = options.data_dir / "credentials.json"
    state_file = options.data_dir / "state.json"
    assert secrets_file.stat().st_mode & 0o777 == 0o600
    for secret in json.loads(secrets_file.read_text()).values():
        assert secret not in state_file.read_text()
        assert secret not in repr(stack.credentials)


def test_a_second_stack_on_the_directory_is_refused(stack, options, environ):
    with pytest.raises(StackError, match="another command is at work"):
        Stack(options, environ).up()
    with pytest.raises(StackError, match="another command is at work"):
        stop_stack(options.data_dir)
    stack.require_running()


FOREGROUND = """
import os, sys
from pathlib import Path
from ugc_local.options import Services, StackOptions
from ugc_local.stack import Stack
data_dir, detached, *fakes = sys.argv[1:]
commands = {role: (sys.executable, fakes[0], role) for role in ("api", "migrate", "etl")}
options = StackOptions(Path(data_dir), services=Services(**commands))
stack = Stack(options, os.environ)
stack.up()
print("up", flush=True)
if detached == "yes":
    stack.detach()
else:
    sys.stdin.read()
"""


def start_elsewhere(data_dir: Path, environ, *, detached: bool) -> subprocess.Popen[bytes]:
    """A stack that another process brought up."""
    words = [str(data_dir), "yes" if detached else "no", str(FAKE)]
    return subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, *words],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def await_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"


def test_a_killed_foreground_leaves_nothing_and_its_data_is_continued(tmp_path, environ):
    """Beside the module's stack: several stacks do not disturb each other."""
    with start_elsewhere(tmp_path, environ, detached=False) as first:
        await_up(first)
        state = read_state(tmp_path)
        assert state is not None
        client = KafkaClient(state.endpoints.kafka_bootstrap)
        client.produce_raw(registry.VIEWS.topic, [(b"k", b"kept", [])])
        secrets = (tmp_path / "credentials.json").read_text()
        assert running_in(tmp_path)
        first.kill()
    assert Deadline.after(60).poll(lambda: not running_in(tmp_path), interval_s=0.1)

    with start_elsewhere(tmp_path, environ, detached=True) as second:
        await_up(second)
        assert second.wait(60) == 0
    try:
        state = read_state(tmp_path)
        assert state is not None
        assert state.complete
        assert len(state.alive()) == 6
        assert answers_ok(state.endpoints.api_url)
        client = KafkaClient(state.endpoints.kafka_bootstrap)
        assert [record.value for record in client.read_all(registry.VIEWS.topic)] == [b"kept"]
        assert (tmp_path / "credentials.json").read_text() == secrets
        with pytest.raises(StackError, match=r"a stack already runs on .*: stop it first with "):
            Stack(StackOptions(tmp_path, services=SERVICES), environ).up()
    finally:
        stopped = stop_stack(tmp_path)
    assert stopped == ["clickhouse", "kafka", "api", "etl-1", "etl-2", "log-keeper"]
    assert not running_in(tmp_path)
    assert read_state(tmp_path) is None
    assert stop_stack(tmp_path) == []


def test_a_start_that_was_cut_short_is_not_taken_for_a_stack(tmp_path, environ):
    """Its starter and its guard were both killed: what they had started lives on."""
    with start_elsewhere(tmp_path, environ, detached=False) as first:
        await_up(first)
        for child in psutil.Process(first.pid).children():
            if "ugc_local.guard" in child.cmdline():
                child.kill()
        first.kill()
    state = read_state(tmp_path)
    assert state is not None
    assert (len(state.alive()), state.complete) == (5, False)
    steps: list[str] = []
    with Stack(StackOptions(tmp_path, services=SERVICES), environ, steps.append) as stack:
        assert steps[0].startswith("its start was cut short: starting everything again")
        assert stack.endpoints == state.endpoints
        assert not state.alive()
    assert not running_in(tmp_path)


def test_a_port_that_is_taken_between_choice_and_start_is_not_the_end(tmp_path, environ):
    """The thief comes with the first step, when the ports are chosen and nothing listens yet."""
    thieves: list[socket.socket] = []

    def on_step(step: str) -> None:
        steps.append(step)
        if not thieves:
            ports = read_ports(tmp_path)
            assert ports is not None
            thieves.append(socket.create_server((LOOPBACK, ports.etl_metrics[0])))

    steps: list[str] = []
    with Stack(StackOptions(tmp_path, services=SERVICES), environ, on_step) as stack, thieves[0]:
        assert "another process took a port meanwhile: starting again" in steps
        stolen = thieves[0].getsockname()[1]
        assert not any(url.endswith(f":{stolen}") for url in stack.endpoints.etl_metrics_urls)
        stack.require_running()
    assert not running_in(tmp_path)


def test_a_consumer_that_dies_is_quoted_and_nothing_is_left(tmp_path, environ):
    services = dataclasses.replace(SERVICES, etl=fake("crashing"))
    with pytest.raises(StackError, match=r"(?s)etl-1 exited with status 3.*flux capacitor"):
        Stack(StackOptions(tmp_path, services=services), environ).up()
    assert not running_in(tmp_path)
    assert read_state(tmp_path) is None


def test_leftovers_of_a_migration_that_failed_are_stopped(tmp_path, environ):
    services = dataclasses.replace(SERVICES, migrate=fake("crashing"))
    with pytest.raises(StackError, match=r"(?s)migration exited with status 3.*flux capacitor"):
        Stack(StackOptions(tmp_path, services=services), environ).up()
    assert not running_in(tmp_path)


def test_a_taken_port_is_one_sentence(tmp_path, environ):
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        options = StackOptions(tmp_path, ports=PortChoice(api=port), services=SERVICES)
        with pytest.raises(StackError, match=rf"port {port} \(the API\): stop it or choose"):
            Stack(options, environ).up()
    with exclusive(tmp_path):
        assert not running_in(tmp_path)


def test_two_ports_that_are_the_same_are_one_sentence(tmp_path, environ):
    options = StackOptions(tmp_path, ports=PortChoice(api=20_007, kafka=20_007), services=SERVICES)
    with pytest.raises(StackError, match="port 20007 is asked for twice"):
        Stack(options, environ).up()


def test_a_disk_without_room_is_said_before_anything_starts(tmp_path, environ):
    options = StackOptions(tmp_path / "data", min_free_bytes=1 << 60, services=SERVICES)
    steps: list[str] = []
    with pytest.raises(StackError, match=r"MiB left, and a stack needs .*: free some, or choose"):
        Stack(options, environ, steps.append).up()
    assert steps == []
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["lock"]


def test_a_directory_that_cannot_be_written_is_one_sentence(environ):
    """Where not even root can."""
    nowhere = Path("/proc/ugc" if sys.platform.startswith("linux") else "/System/ugc")
    with pytest.raises(StackError, match=f"{nowhere}.*: choose a --data-dir that can be written"):
        Stack(StackOptions(nowhere, services=SERVICES), environ).up()


def test_the_record_of_another_run_of_the_machine_stops_nothing(tmp_path, environ):
    """After a reboot pids are other processes': this very one, say."""
    me = ProcessIdentity.of(os.getpid())
    endpoints = Endpoints("127.0.0.1:1", "127.0.0.1", 2, "http://x:3", "embedded", "http://x:4", ())
    mine = ProcessRecord("etl-1", me.pid, me.created_s, log="")
    write_state(tmp_path, StackState(endpoints, (mine,), "another boot", complete=True))
    assert stop_stack(tmp_path) == []
    write_state(tmp_path, StackState(endpoints, (mine,), "another boot", complete=True))
    steps: list[str] = []
    options = StackOptions(tmp_path, min_free_bytes=1 << 60, services=SERVICES)
    with pytest.raises(StackError, match="MiB left"):
        Stack(options, environ, steps.append).up()
    assert steps == ["the last run was not stopped in order: going on with its data"]


def test_a_process_that_dies_later_is_noticed(stack):
    """Last: it breaks the module's stack."""
    identity = stack.processes["etl-1"].identity
    assert isinstance(identity, ProcessIdentity)
    stack.processes["etl-1"].kill()
    with pytest.raises(StackError, match="etl-1 ended by SIGKILL"):
        stack.require_running()
