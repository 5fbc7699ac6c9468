import os
import stat
import sys
from hashlib import sha256
from xml.etree import ElementTree as ET

import pytest
from ugc_local.clickhouse.configuration import (
    PROFILES,
    ConfigurationError,
    ServerPorts,
    User,
    engine_settings,
    read_configuration,
    server_argv,
    server_kind,
    write_configuration,
)

PORTS = ServerPorts(native=19000, http=18123)
USERS = [User("default", ""), User("analyst", "look <&>", "analyst")]


@pytest.fixture
def config(tmp_path):
    return write_configuration(tmp_path / "ch", ports=PORTS, users=USERS)


def test_what_is_written_is_what_is_read(config):
    found = read_configuration(config)
    assert found.ports == PORTS
    assert found.listen_host == "127.0.0.1"
    assert found.data_path == config.parent.resolve() / "data"
    assert found.accounts["default"].password_sha256_hex == ""
    analyst = found.accounts["analyst"]
    assert analyst.password_sha256_hex == sha256(b"look <&>").hexdigest()
    assert analyst.settings == PROFILES["analyst"]


def test_files_are_private_and_hold_no_password(config):
    users = config.parent / "users.xml"
    for path in (config, users):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "look" not in path.read_text()
    users.chmod(0o644)
    write_configuration(config.parent, ports=PORTS, users=USERS)
    assert stat.S_IMODE(users.stat().st_mode) == 0o600


def test_nothing_else_listens(config):
    root = ET.parse(config).getroot()  # noqa: S314 (just written)
    assert {element.tag for element in root if element.tag.endswith("_port")} == {
        "tcp_port",
        "http_port",
    }
    assert root.findtext("users_config") == str(config.parent.resolve() / "users.xml")


def test_the_engine_is_told_nothing_of_users_and_ports(config):
    tags = {element.tag for element in engine_settings(config)}
    assert not tags & {"logger", "users_config", "tcp_port", "http_port", "listen_host"}
    assert {"path", "max_server_memory_usage", "merge_tree"} <= tags


def test_passwords_do_not_show():
    assert "secret" not in repr(User("etl", "secret"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("<clickhouse", "not XML"),
        ("<clickhouse><tcp_port>1</tcp_port></clickhouse>", "<http_port> is missing"),
        (
            "<clickhouse><tcp_port>x</tcp_port><http_port>1</http_port></clickhouse>",
            "a port is not a number",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, sentence):
    path = tmp_path / "config.xml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        read_configuration(path)


def test_unknown_profiles_are_refused(tmp_path, config):
    with pytest.raises(ConfigurationError, match="x has no profile y"):
        write_configuration(tmp_path, ports=PORTS, users=[User("x", "", "y")])
    users = config.parent / "users.xml"
    users.write_text(users.read_text().replace("<profile>analyst<", "<profile>gone<"))
    with pytest.raises(ConfigurationError, match="analyst has no profile gone"):
        read_configuration(config)


def program(directory, name):
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_which_server_is_started(tmp_path, config):
    tail = ["--config-file", str(config)]
    empty = {"PATH": str(tmp_path / "none")}
    embedded = [sys.executable, "-m", "ugc_local.clickhouse", *tail]
    assert server_argv(config, empty) == embedded
    assert server_kind(embedded) == "embedded"

    many = program(tmp_path / "bin", "clickhouse")
    on_path = {"PATH": str(tmp_path / "bin")}
    assert server_argv(config, on_path) == [many, "server", *tail]
    assert server_kind([many, "server", *tail]) == "clickhouse"

    single = program(tmp_path / "bin", "clickhouse-server")
    assert server_argv(config, on_path) == [single, *tail]

    own = program(tmp_path / "own", "clickhouse-26.8")
    assert server_argv(config, {**on_path, "CLICKHOUSE_BIN": own}) == [own, "server", *tail]
    with pytest.raises(ConfigurationError, match="names no program"):
        server_argv(config, {"CLICKHOUSE_BIN": os.devnull})
