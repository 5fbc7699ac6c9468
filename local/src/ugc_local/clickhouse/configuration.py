"""One configuration, in ClickHouse's own format, for a real server and for the embedded one.

`write_configuration` makes the files, `server_argv` picks the program that reads them, and
`read_configuration` is how the embedded server reads the subset that it honours.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from xml.etree import ElementTree as ET  # read only from files that the operator owns

PROFILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # Everything, for the services and for whoever runs the machine.
        "default": {
            "max_memory_usage": "700000000",
            # A larger state goes to the disk: a question must not need more as the data grow.
            "max_bytes_before_external_group_by": "32000000",
            "idle_connection_timeout": "300",
            # The client's promise to send its next block, before its INSERT lets the table go.
            "receive_timeout": "60",
            "log_queries": "1",
        },
        # Reads only, but may choose settings of a query: what HTTP clients and Grafana need.
        "analyst": {
            "readonly": "2",
            "max_memory_usage": "500000000",
            "max_bytes_before_external_group_by": "32000000",
            "max_execution_time": "60",
            "max_result_rows": "1000000",
            "idle_connection_timeout": "300",
        },
        # Reads only, and no setting can be changed.
        "readonly": {
            "readonly": "1",
            "max_memory_usage": "500000000",
            "max_bytes_before_external_group_by": "32000000",
            "max_execution_time": "60",
            "idle_connection_timeout": "300",
        },
    }
)

# Sized for two cores and for a machine that also runs a broker. A real server checks at start
# that the free-entries thresholds fit its pool.
_SERVER: Mapping[str, str] = MappingProxyType(
    {
        "display_name": "ugc-local",
        "max_server_memory_usage": "1000000000",
        "max_server_memory_usage_to_ram_ratio": "0.5",
        # The server's own count of its memory drifts upwards with every table that comes and goes,
        # until it refuses a count() with half of the memory free.
        "memory_worker_correct_memory_tracker": "1",
        "max_concurrent_queries": "64",
        "max_connections": "256",
        "mark_cache_size": "33554432",
        "index_mark_cache_size": "8388608",
        "uncompressed_cache_size": "0",
        "index_uncompressed_cache_size": "0",
        "mmap_cache_size": "64",
        "compiled_expression_cache_size": "8388608",
        "background_pool_size": "2",
        "background_merges_mutations_concurrency_ratio": "2",
        "background_move_pool_size": "1",
        "background_fetches_pool_size": "1",
        "background_common_pool_size": "2",
        "background_schedule_pool_size": "4",
        "background_buffer_flush_schedule_pool_size": "1",
        "background_message_broker_schedule_pool_size": "1",
        "background_distributed_schedule_pool_size": "1",
        "tables_loader_foreground_pool_size": "2",
        "tables_loader_background_pool_size": "2",
        "max_thread_pool_size": "400",
        "mlock_executable": "false",
        "default_profile": "default",
        "default_database": "default",
        "custom_settings_prefixes": "ugc_",
    }
)

_MERGE_TREE: Mapping[str, str] = MappingProxyType(
    {
        "number_of_free_entries_in_pool_to_lower_max_size_of_merge": "1",
        "number_of_free_entries_in_pool_to_execute_mutation": "1",
        "number_of_free_entries_in_pool_to_execute_optimize_entire_partition": "1",
        # Refused beforehand, with code 243: this engine acknowledges an insert whose writes fail.
        "min_free_disk_bytes_to_perform_insert": "268435456",
    }
)

_QUERY_LOG: Mapping[str, str] = MappingProxyType(
    {
        "database": "system",
        "table": "query_log",
        "ttl": "event_date + INTERVAL 1 DAY DELETE",
        "flush_interval_milliseconds": "7500",
        "max_size_rows": "10000",
        "reserved_size_rows": "512",
        "buffer_size_rows_flush_threshold": "5000",
    }
)


@dataclass(frozen=True)
class ServerPorts:
    """TCP ports: the native protocol and HTTP."""

    native: int
    http: int


@dataclass(frozen=True)
class User:
    """An account to write; `profile` is a key of `PROFILES`. An empty password means none."""

    name: str
    password: str
    profile: str = "default"

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"User(name={self.name!r}, profile={self.profile!r})"


@dataclass(frozen=True)
class Account:
    """An account as the server knows it: no password, only its SHA-256 (hex; "" for none)."""

    name: str
    password_sha256_hex: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class ServerConfiguration:
    """What the embedded server takes from config.xml and users.xml."""

    data_path: Path
    ports: ServerPorts
    listen_host: str
    accounts: Mapping[str, Account]


class ConfigurationError(ValueError):
    """A configuration file is missing, is not XML, or lacks what the server needs."""


def write_configuration(
    directory: Path,
    *,
    ports: ServerPorts,
    users: Sequence[User],
    listen_host: str = "127.0.0.1",
) -> Path:
    """Write config.xml and users.xml (mode 0600) to `directory`, the data beside them.

    Returns the path of config.xml. Passwords are written only as SHA-256. Writing again keeps
    the data.
    """
    directory = directory.resolve()
    data = directory / "data"
    for made in (directory, data, data / "tmp", data / "user_files", data / "format_schemas"):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = ET.Element("clickhouse")
    _add(root, "logger", {"level": "warning", "console": "1"})
    for name, value in {
        "listen_host": listen_host,
        "tcp_port": str(ports.native),
        "http_port": str(ports.http),
        "path": f"{data}/",
        "tmp_path": f"{data / 'tmp'}/",
        "user_files_path": f"{data}/user_files/",
        "format_schema_path": f"{data}/format_schemas/",
        "users_config": str(directory / "users.xml"),
        **_SERVER,
    }.items():
        ET.SubElement(root, name).text = value
    _add(root, "merge_tree", _MERGE_TREE)
    _add(root, "query_log", _QUERY_LOG)
    _write_private(directory / "users.xml", _users_xml(users))
    config = directory / "config.xml"
    _write_private(config, root)
    return config


def server_argv(config: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the command that serves `config`.

    The binary of `CLICKHOUSE_BIN`, else `clickhouse-server` or `clickhouse` on `PATH`, else the
    embedded server.
    """
    binary = environ.get("CLICKHOUSE_BIN", "")
    if binary and not shutil.which(binary, path=environ.get("PATH")):
        raise ConfigurationError(f"CLICKHOUSE_BIN names no program: {binary}")
    if not binary:
        for name in ("clickhouse-server", "clickhouse"):
            binary = shutil.which(name, path=environ.get("PATH", os.defpath)) or ""
            if binary:
                break
    if not binary:
        return [sys.executable, "-m", "ugc_local.clickhouse", "--config-file", str(config)]
    # The one binary is many programs: called by another name than its server's, it is told which.
    program = [binary] if Path(binary).name == "clickhouse-server" else [binary, "server"]
    return [*program, "--config-file", str(config)]


def server_kind(argv: Sequence[str]) -> Literal["clickhouse", "embedded"]:
    """Say which server `server_argv` chose."""
    return "embedded" if "ugc_local.clickhouse" in argv else "clickhouse"


def read_configuration(config: Path) -> ServerConfiguration:
    """Read the subset of config.xml and users.xml that the embedded server honours.

    Raises `ConfigurationError` with one sentence that names the file and what is wrong.
    """
    root = _parse(config)
    # Joining an absolute path gives that path.
    users_config = config.parent / (root.findtext("users_config") or "users.xml")
    try:
        ports = ServerPorts(
            native=int(_required(root, "tcp_port", config)),
            http=int(_required(root, "http_port", config)),
        )
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{config}: a port is not a number") from error
    return ServerConfiguration(
        data_path=Path(_required(root, "path", config)),
        ports=ports,
        listen_host=root.findtext("listen_host") or "127.0.0.1",
        accounts=_read_accounts(users_config),
    )


def _read_accounts(path: Path) -> Mapping[str, Account]:
    root = _parse(path)
    profiles: dict[str, dict[str, str]] = {}
    for profile in root.iterfind("profiles/*"):
        profiles[profile.tag] = {
            setting.tag: (setting.text or "").strip() for setting in profile if len(setting) == 0
        }
    accounts = {}
    for user in root.iterfind("users/*"):
        password = user.findtext("password")
        digest = (user.findtext("password_sha256_hex") or "").strip().lower()
        if password:
            digest = hashlib.sha256(password.encode()).hexdigest()
        if password is None and not digest:
            raise ConfigurationError(
                f"{path}: user {user.tag} has neither password nor password_sha256_hex"
            )
        profile_name = (user.findtext("profile") or "default").strip()
        if profile_name not in profiles:
            raise ConfigurationError(f"{path}: user {user.tag} has no profile {profile_name}")
        accounts[user.tag] = Account(user.tag, digest, MappingProxyType(profiles[profile_name]))
    return MappingProxyType(accounts)


def _users_xml(users: Sequence[User]) -> ET.Element:
    root = ET.Element("clickhouse")
    profiles = ET.SubElement(root, "profiles")
    for name, settings in PROFILES.items():
        _add(profiles, name, settings)
    _add(root, "quotas", {"default": ""})
    listed = ET.SubElement(root, "users")
    for user in users:
        if user.profile not in PROFILES:
            raise ConfigurationError(f"user {user.name} has no profile {user.profile}")
        element = ET.SubElement(listed, user.name)
        if user.password:
            digest = hashlib.sha256(user.password.encode()).hexdigest()
            ET.SubElement(element, "password_sha256_hex").text = digest
        else:
            ET.SubElement(element, "password")
        _add(element, "networks", {"ip": "::/0"})
        ET.SubElement(element, "profile").text = user.profile
        ET.SubElement(element, "quota").text = "default"
    return root


def _add(parent: ET.Element, name: str, values: Mapping[str, str]) -> None:
    section = ET.SubElement(parent, name)
    for key, value in values.items():
        ET.SubElement(section, key).text = value


def _write_private(path: Path, root: ET.Element) -> None:
    ET.indent(root)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(ET.tostring(root, encoding="utf-8"))
        file.write(b"\n")


def _parse(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()  # noqa: S314 (the operator's own file)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ET.ParseError as error:
        raise ConfigurationError(f"{path}: not XML: {error}") from error


def _required(root: ET.Element, name: str, path: Path) -> str:
    value = (root.findtext(name) or "").strip()
    if not value:
        raise ConfigurationError(f"{path}: <{name}> is missing")
    return value


def engine_settings(config: Path) -> ET.Element:
    """Return config.xml as the chdb engine may read it: what it does by itself is left out.

    It neither listens nor authenticates, and a `logger` section makes it write traces to stderr.
    """
    root = _parse(config)
    for name in ("logger", "users_config", "listen_host", "tcp_port", "http_port"):
        for element in root.findall(name):
            root.remove(element)
    return root
