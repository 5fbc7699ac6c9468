"""The secrets of a local stack, made once for each data directory."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from ugc_local.state import CREDENTIALS, StateError, write_private

ADMIN, WRITER, ANALYST = "default", "etl", "analyst"


class Credentials(msgspec.Struct, frozen=True):
    """Random secrets. The passwords belong to the ClickHouse users ADMIN, WRITER and ANALYST."""

    jwt_secret: str
    pseudonym_key: str
    admin_password: str
    writer_password: str
    analyst_password: str

    def __repr__(self) -> str:
        """Show no secret, neither in logs nor in tracebacks."""
        return "Credentials(…)"


def new_credentials() -> Credentials:
    return Credentials(
        jwt_secret=secrets.token_hex(32),
        pseudonym_key=secrets.token_hex(32),
        admin_password=secrets.token_hex(16),
        writer_password=secrets.token_hex(16),
        analyst_password=secrets.token_hex(16),
    )


def keep_credentials(data_dir: Path) -> Credentials:
    """The directory's credentials; made, and kept readable by its owner only, at first use.

    They stay with the data: another pseudonym key would tell the same viewers apart.
    """
    path = data_dir / CREDENTIALS
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        made = new_credentials()
        write_private(path, msgspec.json.format(msgspec.json.encode(made)))
        return made
    except msgspec.DecodeError as error:
        raise StateError(f"{path} cannot be read: {error}") from error
