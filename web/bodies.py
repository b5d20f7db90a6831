"""What people send with a command: strict, bounded, and no field that is not known."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StrictBool, StrictInt, StrictStr

from schemas.impact import Judgement, Mode
from schemas.machine import Fault
from schemas.sayable import sayable

TEXT_MAX = 500
BIGGEST_STAMP = 2**63 - 1

Text = Annotated[StrictStr, Field(max_length=TEXT_MAX), AfterValidator(lambda text: sayable(text, TEXT_MAX))]
"""what people write; half a surrogate pair, which no message carries, comes as its escape"""
Stamp = Annotated[StrictInt, Field(ge=0, le=BIGGEST_STAMP)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reset(Body):
    reason: Text = ""


class ModeChange(Body):
    mode: Mode
    reason: Text = ""


class BypassFor(Body):
    minutes: Annotated[Number, Field(ge=0, le=480, description="0 ends it; at most a shift")]
    reason: Text = ""


class Injection(Body):
    fault: Fault
    magnitude: Number = 1.0
    signal: Text = ""
    duration_s: Annotated[Number, Field(ge=0)] = 0.0


class VerdictOn(Body):
    intervention_id: Annotated[
        StrictStr, Field(pattern=r"^[a-z_][a-z0-9_]*(/[a-z_][a-z0-9_]*)+#[0-9]+$", max_length=220)
    ]
    judgement: Judgement
    reason: Text = ""
    intervention_ns: Stamp = 0


class Acknowledgement(Body):
    alarm_id: Text
    stamp_ns: Annotated[Stamp, Field(description="of the alarm as it was seen; 0: as it is now")] = 0


class Restart(Body):
    reason: Text = ""


class ParameterChange(Body):
    name: Text
    value: Any
    reason: Text = ""


class BlackBox(Body):
    reason: Text = ""


class Login(Body):
    """One of: user and password; the one-time key; nothing, with the ERP's ticket as a cookie."""

    user: Text = ""
    password: Annotated[StrictStr, Field(max_length=1000)] = ""
    key: Annotated[StrictStr, Field(max_length=200)] = ""


class UserRow(Body):
    roles: Annotated[list[Text], Field(max_length=8)]
    password: Annotated[StrictStr, Field(max_length=1000)] | None = None
    """None leaves that of before"""
    machines: Annotated[list[Text], Field(max_length=100)] = []
    """those that the user may command; none: all"""
    disabled: StrictBool = False
    """may not sign on"""
