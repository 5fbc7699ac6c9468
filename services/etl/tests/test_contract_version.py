import os
import subprocess
import sys
from dataclasses import replace
from typing import Annotated, ClassVar

import pytest
from msgspec import Meta, defstruct
from ugc_etl.contract_version import contract_version
from ugc_events import FAMILIES, Event, Family
from ugc_events.registry import Column


def family(
    type_name="Tick", fields=(("at", int),), *, base=Event, version=1, columns=(), name="ticks"
) -> Family:
    """A family of one type that stands for the views."""
    event_type = defstruct(
        type_name,
        list(fields),
        bases=(base,),
        namespace={"VERSION": version, "__annotations__": {"VERSION": ClassVar[int]}},
        kw_only=True,
        frozen=True,
        tag=type_name.lower(),
    )
    return replace(FAMILIES[0], name=name, types=(event_type,), columns=columns)


class Wider(Event, frozen=True, kw_only=True):
    """An envelope with another field."""

    country: str | None = None


SAME = family()
OTHERS = {
    "name": family(name="tocks"),
    "type": family("Tock"),
    "optional field": family(fields=[("at", int), ("speed", int | None, None)]),
    "field's type": family(fields=[("at", str)]),
    "bound": family(fields=[("at", Annotated[int, Meta(ge=0)])]),
    "other bound": family(fields=[("at", Annotated[int, Meta(ge=1)])]),
    "default": family(fields=[("at", int, 0)]),
    "envelope": family(base=Wider),
    "version": family(version=2),
    "column": family(columns=(Column("at", "UInt32"),)),
    "column's type": family(columns=(Column("at", "UInt64"),)),
}


def test_it_stays_while_nothing_changes() -> None:
    assert contract_version([family()]) == contract_version([SAME])
    assert contract_version(FAMILIES) == contract_version(FAMILIES)


@pytest.mark.parametrize("what", OTHERS)
def test_every_change_makes_another(what: str) -> None:
    assert contract_version([OTHERS[what]]) != contract_version([SAME])


def test_all_of_these_differ_from_each_other() -> None:
    assert len({contract_version([other]) for other in OTHERS.values()}) == len(OTHERS)


def test_every_process_makes_the_same() -> None:
    program = (
        "from ugc_etl.contract_version import contract_version; from ugc_events import FAMILIES;"
        "print(contract_version(FAMILIES), end='')"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert made == {contract_version(FAMILIES)}
