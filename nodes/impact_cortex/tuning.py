"""The parameters of impact_cortex: what a shop may set, with unit, bounds and meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from bus.node import parameter
from nodes.impact_cortex.cuts import BadCuts, Cuts, Reference, read
from nodes.impact_cortex.materials import MATERIALS
from nodes.impact_cortex.physics import Cut
from nodes.impact_cortex.tasks import BadTasks, Settings, Task, default_tasks
from nodes.impact_cortex.tasks import read as read_tasks
from schemas.impact import Mode, Reaction


class Tuning:
    """Mixed into the node, which gives the parameters their values."""

    mode = parameter(
        Mode.OBSERVE,
        doc="how far it may go: OBSERVE only says what it would have done, HOLD may hold the feed, STOP may stop",
        choices=tuple(Mode),
    )
    limit_pct = parameter(85.0, unit="%", doc="spindle load that calls for a feed hold", ge=0, le=400)
    limit_k = parameter(3, doc="readings above the limit, of the last limit_n, that count", ge=1, le=1000)
    limit_n = parameter(5, doc="readings looked back at", ge=1, le=1000)
    hard_limit_pct = parameter(160.0, unit="%", doc="spindle load that calls for a stop in any state", ge=0, le=400)
    axis_limit_pct = parameter(
        80.0, unit="%", doc="load of an axis that calls for a feed hold in any motion", ge=0, le=400
    )
    warn_pct = parameter(75.0, unit="%", doc="spindle load that is warned of when it lasts warn_s", ge=0, le=400)
    warn_s = parameter(0.5, unit="s", doc="how long", ge=0.01, le=60)
    air_pct = parameter(6.0, unit="%", doc="spindle load above idle below which the tool cuts air", ge=0, le=100)
    cusum_drift_pct = parameter(6.0, unit="%", doc="rise of load that is taken as normal", ge=0, le=100)
    cusum_threshold_pct_s = parameter(
        1.2, unit="%·s", doc="sum of rise beyond it that calls for a feed hold", ge=0, le=1e4
    )
    cusum_window_s = parameter(0.25, unit="s", doc="span of the mean that a rise is measured from", ge=0.01, le=60)
    cusum_settle_s = parameter(0.1, unit="s", doc="begin of a cut that is not judged by its rise", ge=0, le=60)
    model_settle_s = parameter(
        0.5, unit="s", doc="begin of a cut that is not held against its model: slow meters lag", ge=0, le=60
    )
    wear_rise_pct = parameter(
        15.0, unit="%", doc="load above the model's, in percent of it, taken as normal", ge=0, le=500
    )
    wear_threshold_pct_s = parameter(1.0, unit="%·s", doc="sum of load beyond that which is warned of", ge=0, le=1e4)
    breakage_fall_pct = parameter(
        50.0, unit="%", doc="load below the model's, in percent of it, taken as normal", ge=0, le=100
    )
    breakage_threshold_pct_s = parameter(
        0.6, unit="%·s", doc="sum of load lacking beyond that which calls for a feed hold", ge=0, le=1e4
    )
    accel_limit = parameter(30.0, unit="m/s²", doc="acceleration away from rest that is too much", ge=0, le=5000)
    accel_window_s = parameter(0.1, unit="s", doc="span looked back at", ge=0.001, le=1.0)
    accel_share = parameter(0.15, doc="share of it above the limit that counts", ge=0.001, le=1)
    accel_reaction = parameter(Reaction.WARN, doc="what too much vibration calls for", choices=tuple(Reaction)[1:])
    effective_s = parameter(0.15, unit="s", doc="a feed hold must help within this, else stop", ge=0.01, le=10)
    stop_effective_s = parameter(0.5, unit="s", doc="a stop without effect for so long is a FAULT", ge=0.01, le=60)
    rearm_s = parameter(1.0, unit="s", doc="quiet that ends an event in which nothing was asked", ge=0.05, le=60)
    material = parameter("", doc="what is cut, for the model of load", choices=("", *MATERIALS))
    tool_diameter_mm = parameter(0.0, unit="mm", doc="for forces and the model; 0 is unknown", ge=0, le=500)
    teeth = parameter(0, doc="of the tool; 0 is unknown", ge=0, le=100)
    depth_mm = parameter(0.0, unit="mm", doc="ap of the described cut", ge=0, le=500)
    width_mm = parameter(0.0, unit="mm", doc="ae of the described cut", ge=0, le=500)
    rated_torque_nm = parameter(0.0, unit="Nm", doc="of the spindle drive; 0 is unknown", ge=0, le=1e5)
    rated_power_kw = parameter(0.0, unit="kW", doc="of the spindle drive; 0 is unknown", ge=0, le=1e4)
    cuts = parameter((), doc="what each cut should need, by tool and blocks: see cuts.py")
    tasks = parameter((), doc="monitoring tasks altered, added or taken away, by name: see tasks.py")

    @classmethod
    def settings(cls, parameters: Mapping[str, Any]) -> Settings:
        """What the default tasks are made of."""
        return Settings(**{f.name: parameters.get(f.name, getattr(cls, f.name).default) for f in fields(Settings)})

    @classmethod
    def watched(cls, parameters: Mapping[str, Any]) -> tuple[Task, ...]:
        """The tasks of these parameters.

        Raises:
            BadTasks: with every mistake.
        """
        return read_tasks(parameters.get("tasks", ()), default_tasks(cls.settings(parameters)))

    @classmethod
    def described(cls, parameters: Mapping[str, Any]) -> Cuts:
        """The cuts of these parameters.

        Raises:
            BadCuts: with every mistake.
        """

        def given(name: str) -> Any:
            return parameters.get(name, getattr(cls, name).default)

        cut = Cut(given("tool_diameter_mm"), given("teeth"), given("depth_mm"), given("width_mm"))
        base = Reference(given("material"), cut, given("rated_torque_nm"), given("rated_power_kw"))
        return read(given("cuts"), base)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Parameters that do not fit together."""
        k, n = parameters.get("limit_k", cls.limit_k.default), parameters.get("limit_n", cls.limit_n.default)
        if k > n:
            yield "limit-k-of-n", f"limit_k {k} of limit_n {n}: k readings cannot be above the limit out of fewer"
        try:
            cls.described(parameters)
        except BadCuts as error:
            yield from (("cuts", line) for line in str(error).splitlines())
        try:
            cls.watched(parameters)
        except BadTasks as error:
            yield from (("tasks", line) for line in str(error).splitlines())
