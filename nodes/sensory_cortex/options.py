"""What a driver may be told: a frozen dataclass per driver file, read from its table in the list of sources.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class StreamOptions(Options):
        url: str = option("", doc="tcp://host:port, udp://bind:port or serial:///dev/ttyUSB0?baud=115200")
        quiet_s: float = option(1.0, unit="s", ge=0.1, le=60.0, doc="...")

Type, unit and bounds are those of `bus.node.parameter`, and so is the check. What the values say together a class
checks in `mistakes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from bus.node import BadParameter, Parameter
from bus.site import did_you_mean
from schemas.machine import SignalInfo
from schemas.sayable import shown

T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741 # the type variable of options

Wrong = tuple[str, str]
"""stable id of a mistake, and its text"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every driver's options can say of themselves before anything runs."""

    knows_state: ClassVar[bool] = False
    """the source behind this driver knows the state of the machine"""

    def mistakes(self) -> Iterator[Wrong]:
        """What is wrong with the values taken together, or with the files they name: for `--check`, not at run time."""
        yield from ()

    def signals(self, name: str) -> Sequence[SignalInfo] | None:
        """The signals of the source `name`; None where only the running source knows."""
        return None


def option(
    default: T,
    *,
    unit: str = "",
    doc: str = "",
    ge: float = math.nan,
    le: float = math.nan,
    choices: tuple[T, ...] = (),
    also: type | None = None,
) -> T:
    """Declare an option. `also` is a second type that is taken as it is: a path, say, or the table itself."""
    declared = Parameter(default, unit, doc, ge, le, choices)
    return field(default_factory=lambda: default, metadata={"declared": declared, "also": also})


def declared_options(kind: type[Options]) -> Mapping[str, Parameter[Any]]:
    """The options of a driver, by name."""
    made: dict[str, Parameter[Any]] = {}
    for f in fields(kind):
        made[f.name] = f.metadata["declared"]
        made[f.name].name = f.name
    return made


def read_options(kind: type[O], table: Mapping[str, Any], besides: Sequence[str] = ()) -> tuple[O | None, list[Wrong]]:
    """The options that a table gives, and everything that is wrong with it; None when nothing can be made of it.

    `besides`: keys of the table that are somebody else's.
    """
    declared = declared_options(kind)
    also = {f.name: f.metadata["also"] for f in fields(kind)}
    values: dict[str, Any] = {}
    wrong: list[Wrong] = []
    for key, value in table.items():
        if key in besides:
            continue
        if key not in declared:
            wrong.append(("unknown-option", f"no option {shown(key)}; {did_you_mean(str(key), (*declared, *besides))}"))
        elif also[key] is not None and type(value) is also[key]:
            values[key] = value
        else:
            try:
                values[key] = declared[key].check(value)
            except BadParameter as error:
                wrong.append(("bad-option", str(error)))
    return (None if wrong else kind(**values)), wrong
