"""Every kind of fault that this machine can make, and the order in which a seed draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from ugc_local.chaos.consumer_faults import CONSUMER_FAULTS
from ugc_local.chaos.kind import Kind
from ugc_local.chaos.network_faults import NETWORK_FAULTS
from ugc_local.chaos.store_faults import STORE_FAULTS

KINDS: tuple[Kind, ...] = CONSUMER_FAULTS + NETWORK_FAULTS + STORE_FAULTS


def drawn(kinds: Sequence[Kind], seed: int) -> Iterator[Kind]:
    """Kinds without end: each once in every round, in another order every round."""
    chance = Random(seed)  # noqa: S311 - reproducible on purpose
    while True:
        yield from chance.sample(list(kinds), len(kinds))
