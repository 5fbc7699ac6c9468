"""The stack that runs on a data directory, as the tools find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ugc_local.credentials import Credentials, keep_credentials
from ugc_local.invocation import typed
from ugc_local.state import StackState, read_state


class NothingRunsError(Exception):
    """No stack runs on the data directory; the message says how to start one."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Addresses, processes and secrets."""

    state: StackState
    credentials: Credentials


def find_stack(data_dir: Path) -> RunningStack:
    """What runs there, in part or whole. Raises NothingRunsError or StateError."""
    state = read_state(data_dir) if data_dir.is_dir() else None
    if state is None or not state.alive():
        before = "; an earlier run was not stopped in order, and its data are kept" if state else ""
        raise NothingRunsError(
            f"nothing runs on {data_dir}{before}: start it with {typed('up', data_dir)}"
        )
    return RunningStack(state, keep_credentials(data_dir))
