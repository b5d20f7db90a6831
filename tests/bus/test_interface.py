"""A class that declares what cannot work is refused when it is defined."""

from __future__ import annotations

import pytest

import bus.node
from bus.node import DeclarationError
from schemas import topics
from tests.bus.toys.graph import HALT


def define(*body: str) -> None:
    """A node class with this body."""
    lines = "\n".join(f"    {line}" for line in body)
    names = {**vars(bus.node), "SAMPLES": topics.SAMPLES, "HALT": HALT, "__name__": "written"}
    exec(f"class Written(Node):\n{lines}\n", names)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (["@subscription(SAMPLES)", "def m(self): ..."],
         r"Written\.m\(self\): it will be called with self and the message"),
        (["@subscription(SAMPLES)", "def m(self, a, b): ..."], "self and the message"),
        (["@subscription(SAMPLES)", "def n(self, a): ...", "@on_link(SAMPLES)", "def m(self): ..."],
         "self and the event"),
        (["@service(HALT)", "def m(self): ..."], "self and the request"),
        (["@timer(1.0)", "def m(self, a): ..."], "self alone"),
        (['x = parameter("a", ge=3)'], r"Written\.x: ge bounds a number, and this parameter is a str"),
        (["x = parameter(True, le=3)"], "le bounds a number, and this parameter is a bool"),
        (['x = parameter(5.0, ge=0, le=3, unit="%")'], "Written: the default of x: 5.0 is above 3 %"),
        (['x = parameter("c", choices=("a", "b"))'], "the default of x: .*c.* is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(body: list[str], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        define(*body)


@pytest.mark.parametrize(
    "body",
    [
        ["@subscription(SAMPLES)", "def m(self, a, b=None): ..."],
        ["@subscription(SAMPLES)", "def m(*args): ..."],
        ["@timer(1.0)", "def m(self, **given): ..."],
        ["x = parameter(3, ge=1, le=3)"],
    ],
)
def test_what_can_be_called_is_no_mistake(body: list[str]) -> None:
    define(*body)
