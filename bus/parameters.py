"""Parameters: values that a node class declares with their bounds, and that others may give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from schemas.sayable import shown

if TYPE_CHECKING:
    from bus.node import Node

T = TypeVar("T")


class BadParameter(ValueError):
    """A value does not fit the parameter it is meant for; the text says what would."""


@dataclass(slots=True)
class Parameter(Generic[T]):
    """A value that the launch file, the site file, `-p` or `rise param set` may give. Reading it gives the value."""

    default: T
    unit: str = ""
    doc: str = ""
    ge: float = math.nan
    le: float = math.nan
    choices: tuple[T, ...] = ()
    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, node: None, owner: type) -> Self: ...
    @overload
    def __get__(self, node: Node, owner: type) -> T: ...
    def __get__(self, node: Node | None, owner: type) -> Self | T:
        return self if node is None else self.default

    @property
    def type_name(self) -> str:
        return "number" if isinstance(self.default, float) else type(self.default).__name__

    def check(self, value: Any) -> T:
        """`value` as this parameter's type.

        Raises:
            BadParameter: another type, outside ge..le, or not one of the choices.
        """
        wanted = type(self.default)
        if wanted is float and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                raise BadParameter(f"{self.name}: no number has so many digits") from None
        if wanted is tuple and isinstance(value, list):
            value = tuple(value)
        if issubclass(wanted, StrEnum) and isinstance(value, str):
            try:
                value = wanted(value)
            except ValueError:
                raise BadParameter(f"{self.name}: {shown(value)} is not one of {[m.value for m in wanted]}") from None
        if type(value) is not wanted:
            raise BadParameter(f"{self.name}: expected {self.type_name}, got {type(value).__name__} {shown(value)}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value != value and not (math.isnan(self.ge) and math.isnan(self.le)):
                raise BadParameter(f"{self.name}: nan is no number")
            if not math.isnan(self.ge) and not value >= self.ge:
                raise BadParameter(f"{self.name}: {shown(value)} is below {self.ge:g}{self._unit()}")
            if not math.isnan(self.le) and not value <= self.le:
                raise BadParameter(f"{self.name}: {shown(value)} is above {self.le:g}{self._unit()}")
        if self.choices and value not in self.choices:
            raise BadParameter(f"{self.name}: {shown(value)} is not one of {list(self.choices)}")
        return value

    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


def parameter(
    default: T,
    *,
    unit: str = "",
    doc: str = "",
    ge: float = math.nan,
    le: float = math.nan,
    choices: tuple[T, ...] = (),
) -> Parameter[T]:
    """Declare a parameter: int, float, bool, str, a StrEnum, or a tuple or dict of plain data."""
    return Parameter(default, unit, doc, ge, le, choices)
