"""Everything that a stack may fail with, as one error with one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ugc_local.clickhouse.configuration import ConfigurationError
from ugc_local.kafka.client import KafkaClientError
from ugc_local.kafka.distribution import DistributionError
from ugc_local.ports import PortTakenError
from ugc_local.process import ProcessExitedError
from ugc_local.state import StackState, StateError
from ugc_local.stores import NotReadyError


class StackError(Exception):
    """The stack cannot do what was asked; the message says why, with logs where they help."""


class AlreadyRunsError(StackError):
    """All of a stack runs on the data directory already."""

    def __init__(self, message: str, state: StackState) -> None:
        super().__init__(message)
        self.state = state


@contextmanager
def as_stack_error() -> Iterator[None]:
    """Turn what the parts raise into StackError, with the same words."""
    try:
        yield
    except OSError as error:
        raise StackError(_sentence(error)) from error
    except (
        ConfigurationError,
        DistributionError,
        KafkaClientError,
        NotReadyError,
        PortTakenError,
        ProcessExitedError,
        StateError,
    ) as error:
        raise StackError(str(error)) from error


def _sentence(error: OSError) -> str:
    """What the system said, of which file, and what to do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"{error}: the disk is full, free some of it or choose another --data-dir"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}:
        return f"{error}: choose a --data-dir that can be written"
    return str(error)
