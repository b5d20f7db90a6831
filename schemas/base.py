"""The words every message is written with: Message, Samples, units, Topic, Service and the four QoS profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from schemas.names import MAX_NAME_BYTES as MAX_NAME_BYTES
from schemas.names import BadName as BadName
from schemas.names import check_name as check_name
from schemas.names import resolve as resolve

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a field, as annotation metadata; it appears as `unit` in JSON Schema and in `rise topic echo`."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Marks a field that holds a measurement of this run (a latency): 0 in replay, ignored by differences."""


Nanoseconds = Annotated[int, Unit("ns")]
Seconds = Annotated[float, Unit("s")]
Minutes = Annotated[float, Unit("min")]
Milliseconds = Annotated[float, Unit("ms")]
MeasuredMilliseconds = Annotated[float, Unit("ms"), Measured()]
Hertz = Annotated[float, Unit("Hz")]
Percent = Annotated[float, Unit("%")]
Rpm = Annotated[float, Unit("rpm")]
Millimetres = Annotated[float, Unit("mm")]
MillimetresPerMinute = Annotated[float, Unit("mm/min")]
MetresPerSecondSquared = Annotated[float, Unit("m/s²")]
Newtons = Annotated[float, Unit("N")]
NewtonMetres = Annotated[float, Unit("Nm")]
Kilowatts = Annotated[float, Unit("kW")]
KilowattHours = Annotated[float, Unit("kWh")]
Celsius = Annotated[float, Unit("°C")]
Bar = Annotated[float, Unit("bar")]
LitresPerMinute = Annotated[float, Unit("l/min")]
Bytes = Annotated[int, Unit("B")]

DTYPES = frozenset({"<f4", "<f8", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"})
_DTYPES = {name: np.dtype(name) for name in DTYPES}


class Samples:
    """A read-only numpy array as a message field; on the wire `{"dtype": "<f4", "shape": [n, c], "data": bin}`.

    `Samples(a)` copies. `Samples.take(a)` takes an array over without a copy: the caller gives it up, and the array and
    the one that owns its memory become read-only. Equality compares dtype, shape and bytes (so NaN equals NaN); there
    is no hash.

    Raises:
        TypeError: the dtype is not one of DTYPES after conversion to little-endian.
        ValueError: `take` got an array whose memory is not C-contiguous or not numpy's own.
    """

    __slots__ = ("array",)
    array: NDArray[Any]

    def __init__(self, array: NDArray[Any] | list[Any]) -> None:
        a = np.array(array, order="C")
        if a.dtype.byteorder == ">":
            a = a.astype(a.dtype.newbyteorder("<"))
        _check_dtype(a)
        a.flags.writeable = False
        self.array = a

    @classmethod
    def take(cls, array: NDArray[Any]) -> Self:
        if not array.flags.c_contiguous:
            raise ValueError("Samples.take needs a C-contiguous array; use Samples(array), which copies")
        _check_dtype(array)
        base: Any = array.base
        while base is not None:
            if not isinstance(base, np.ndarray):
                raise ValueError(f"Samples.take needs memory that numpy owns, not a view of {type(base).__name__}")
            base = base.base
        base = array
        while base is not None:
            base.flags.writeable = False
            base = base.base
        return cls._of(array)

    @classmethod
    def _of(cls, array: NDArray[Any]) -> Self:
        self = object.__new__(cls)
        self.array = array
        return self

    @classmethod
    def from_wire(cls, dtype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Self:
        """The array over `data` without a copy, read-only.

        Raises:
            ValueError: unknown dtype, negative dimension, or a length of data other than dtype and shape ask for.
        """
        kind = _DTYPES.get(dtype)
        if kind is None:
            raise ValueError(f"dtype {dtype!r} is not one of {sorted(DTYPES)}")
        size = kind.itemsize
        for n in shape:
            if n < 0:
                raise ValueError(f"shape {list(shape)} has a negative dimension")
            size *= n
        held = data.nbytes if isinstance(data, memoryview) else len(data)
        if held != size:
            raise ValueError(f"shape {list(shape)} of {dtype} needs {size} bytes, data holds {held}")
        if isinstance(data, memoryview):
            # not np.ndarray: over a view of writable memory it could be made writable again
            return cls._of(np.frombuffer(data.toreadonly(), kind).reshape(shape))
        self = object.__new__(cls)  # `_of`, written out: this happens a thousand times a second
        self.array = np.ndarray(shape, kind, data)  # in a third of the time of frombuffer
        return self

    @property
    def dtype(self) -> str:
        return self.array.dtype.str

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)

    def to_wire(self) -> dict[str, Any]:
        return {
            "dtype": self.array.dtype.str,
            "shape": self.array.shape,
            "data": self.array.data.cast("B") if self.array.size else b"",
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Samples):
            return NotImplemented
        a, b = self.array, other.array
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

    __hash__ = None  # type: ignore[assignment] # equality by content of an array: no hash

    def __repr__(self) -> str:
        return f"Samples({self.dtype}{list(self.array.shape)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Samples, (np.array(self.array),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # imported here: pydantic_core.core_schema costs 8 ms that a node which never validates JSON need not pay
        import base64

        from pydantic_core import core_schema

        def from_json(value: Mapping[str, Any]) -> Samples:
            try:
                shape = tuple(value["shape"])
                if not all(type(n) is int for n in shape):
                    raise TypeError(f"shape {shape} is not of integers")
                return cls.from_wire(value["dtype"], shape, base64.b64decode(value["data"], validate=True))
            except (KeyError, TypeError) as error:
                raise ValueError(f"expected {{dtype, shape, data: base64}}: {error}") from error

        def to_json(value: Samples) -> dict[str, Any]:
            wire = value.to_wire()
            return {**wire, "shape": list(wire["shape"]), "data": base64.b64encode(wire["data"]).decode("ascii")}

        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(from_json),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(to_json, when_used="json"),
        )


def _check_dtype(a: NDArray[Any]) -> None:
    if a.dtype.str not in DTYPES:
        raise TypeError(f"Samples of dtype {a.dtype.str} cannot travel; use one of {sorted(DTYPES)}")


class Message(BaseModel):
    """The base of everything that travels: frozen, strictly typed, its fields a closed grammar (schemas/grammar.py).

    Constructing one checks every field, so what a node publishes is well typed before it is encoded; decoding checks
    again with the compiled codec. NaN means "no reading" and is `null` in JSON.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        defer_build=True,
        ser_json_inf_nan="null",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        from schemas.grammar import check_declaration

        check_declaration(cls)


M = TypeVar("M", bound=Message)
Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a topic is kept: see the four profiles below."""

    name: Literal["SENSOR", "LATCHED", "EVENT", "DURABLE"]
    depth: int
    repaired: bool
    """gaps are closed by asking the publisher"""
    latched: bool
    """the last value (per key) reaches whoever joins later"""
    logged: bool
    """kept on disk by the publisher, read by cursor"""


SENSOR = Profile("SENSOR", depth=64, repaired=False, latched=False, logged=False)
LATCHED = Profile("LATCHED", depth=256, repaired=True, latched=True, logged=False)
EVENT = Profile("EVENT", depth=4096, repaired=True, latched=False, logged=False)
DURABLE = Profile("DURABLE", depth=4096, repaired=True, latched=False, logged=True)
PROFILES: Mapping[str, Profile] = {p.name: p for p in (SENSOR, LATCHED, EVENT, DURABLE)}


@dataclass(frozen=True, slots=True)
class Topic(Generic[M]):
    """A row of the table of topics: what travels under a name, and how it is kept.

    A name that starts with `/` is absolute, every other one is `<namespace>/<name>`.

    Raises:
        BadName: the name breaks the rule for names.
    """

    name: str
    type: type[M]
    qos: Profile
    depth: int = 0
    """bound of a subscription's queue; 0 takes the profile's"""
    rate_hz: float | None = None
    """the rate the publisher means to keep, for people and `--check`"""
    deadline_s: float | None = None
    """silence after which a subscriber gets `Stale`; a node that judges the topic must handle it"""
    lifespan_s: float | None = None
    """messages older than this are dropped and counted"""
    key: str | None = None
    """LATCHED: one value is kept per value of this field"""
    writers: Literal["one", "many"] = "one"
    persist: bool = False
    """LATCHED: the values are on disk too; a publisher that is started again offers them, marked as stale, until it
    says them anew or withdraws them"""

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.depth:
            object.__setattr__(self, "depth", self.qos.depth)


@dataclass(frozen=True, slots=True)
class Service(Generic[Q, R]):
    """A row of the table of services: a question with one answer, or an act on a machine.

    Raises:
        BadName: the name breaks the rule for names.
    """

    name: str
    request: type[Q]
    reply: type[R]
    idempotent: bool = False
    """asking twice does no harm, so a restarted server may answer a repeated request"""
    late: Literal["drop", "execute"] = "drop"
    """what the server does with a request whose deadline has passed"""
    acts_on_machine: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
