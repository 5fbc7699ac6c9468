"""Stopping a stack that was left running, and the order in which any is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from ugc_local.process import stop_trees
from ugc_local.stack_error import as_stack_error
from ugc_local.state import ProcessRecord, exclusive, read_state, remove_state

STOP_GRACE_S = 15.0


def stop_stack(data_dir: Path, on_step: Callable[[str], None] = lambda _step: None) -> list[str]:
    """Stop the stack that was left running on `data_dir`; the names of what was stopped.

    Raises StackError if another command is at work there.
    """
    if not data_dir.exists():
        return []
    with as_stack_error(), exclusive(data_dir):
        state = read_state(data_dir)
        alive = state.alive() if state else []
        if alive:
            names = in_stop_order([record.name for record in alive])
            on_step("stopping " + ", ".join(chain.from_iterable(names)))
            stop_records(alive)
        remove_state(data_dir)
    return [record.name for record in alive]


def stop_records(records: Sequence[ProcessRecord]) -> None:
    by_name = {record.name: record for record in records}
    for names in in_stop_order(list(by_name)):
        stop_trees([by_name[name].identity for name in names], grace_s=STOP_GRACE_S)


def in_stop_order(names: Sequence[str]) -> list[list[str]]:
    """The services together, then the stores that they write to together."""
    stores = [name for name in names if name in {"kafka", "clickhouse"}]
    services = [name for name in names if name not in stores]
    return [group for group in (services, stores) if group]
