"""The nodes themselves: messages of the right type with anything in them, in any order; an odd reading must arrive.

One input is a list of steps [which, fields]; what is no message of its type is refused by the codec, as on the bus.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
from rich.console import Console as Terminal

from bus.node import Gone, Lost, Node, Raw, Source, Stale, Synced
from nodes.console import Console
from nodes.console.screen import render
from schemas.base import PROFILES, Message, Samples, check_name
from schemas.codec import DecodeError, codec
from schemas.grammar import type_hash
from schemas.impact import Assessment, Beat, Intervention, Mode, ModeRequest, Protection, ReactionResult
from schemas.machine import (
    Alarm,
    Cause,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    MachineInfo,
    MachineState,
    MotionEvent,
    ResetRequest,
    SignalBlock,
    Signals,
    StopRequest,
)
from schemas.system import BagSplit, Diagnostics, RecorderStatus
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, MS, STILL, World, drive_block
from tests.nodes.recorder.raws import START_NS, recording
from tests.nodes.sensory_cortex.stage import Stage
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_wire import example

Door = tuple[type[Message], Callable[[Any], Any]]
MOST_STEPS = 30


def steps_of(data: bytes) -> list[Any]:
    """The steps of an input; none in what is no list of them."""
    try:
        found = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    except Exception:  # no input
        return []
    return found[:MOST_STEPS] if isinstance(found, list) else []


def take(doors: Sequence[Door], step: Any) -> None:
    """Hand one message over, when it is one."""
    if not (isinstance(step, list) and len(step) == 2 and isinstance(step[0], int)):
        return
    kind, act = doors[step[0] % len(doors)]
    try:
        message = codec(kind).decode(msgpack.packb(step[1], unicode_errors="surrogatepass"))
    except (DecodeError, ValueError, OverflowError, TypeError):
        return
    act(message)


def plain(message: Message) -> Any:
    return msgpack.unpackb(codec(type(message)).encode(message))


def _with_source(node: Node, topic: str, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def heard(message: Any) -> Any:
        node.source = Source("vmc1/sensory_cortex", f"vmc1/{topic}", 1, START_NS, 7)
        return act(message)

    return heard


def impact() -> Target:
    """The logic engine."""

    def run(data: bytes) -> None:
        world = World(mode=Mode.STOP)
        node = world.node

        def pass_time(cause: Cause) -> None:
            world.tick(cause.seq % 5000 if cause.seq >= 0 else 50)

        def link(cause: Cause) -> None:
            source = Source("n", "vmc1/machine/samples", 1, 1, 7)
            event = (Lost(source, 1, cause.seq), Stale(source, 0.5), Gone(source, True), Synced(source))[cause.seq % 4]
            for told in (node.on_samples_link, node.on_vibration_link, node.on_state_link):
                told(event)

        doors: list[Door] = [
            (SignalBlock, _with_source(node, "machine/samples", node.on_samples)),
            (SignalBlock, _with_source(node, "machine/vibration", node.on_vibration)),
            (Signals, node.on_signals), (MachineState, node.on_state), (MachineInfo, node.on_info),
            (MotionEvent, node.on_motion), (ModeRequest, node.set_mode), (Cause, pass_time), (Cause, link),
        ]  # fmt: skip
        world.samples(60.0, 3)
        for step in steps_of(data):
            take(doors, step)
            world.answer()
        world.samples(300.0, 8)
        world.tick()
        for message in world.published:
            codec(type(message)).encode(message)

    world = World()
    blocks = [plain(drive_block(world.now + n * MS, n, 170.0)) for n in range(4)]
    names = plain(Signals(signals=DRIVE + ACCELEROMETER))
    shake = plain(SignalBlock(stamp_ns=1, period_ns=100_000, source="accel", first_row=0, data=Samples(STILL)))
    lists = [
        [[0, b] for b in blocks] + [[7, plain(Cause(publisher="", topic="", seq=200))]],
        [[2, names], [1, shake], [3, plain(example(MachineState))], [4, plain(example(MachineInfo))]],
        [[5, plain(example(MotionEvent))], [6, plain(example(ModeRequest))]],
        [[8, plain(Cause(publisher="", topic="", seq=n))] for n in range(4)],
    ]  # fmt: skip
    return Target("impact", run, (), [msgpack.packb(s) for s in lists], Grammar("msgpack"))


def sensory() -> Target:
    """The simulated machine: what may be asked of it, and the beat of its logic engine."""

    def run(data: bytes) -> None:
        stage = Stage()
        node = stage.node
        doors: list[Door] = [
            (InjectRequest, node.inject), (FeedHoldRequest, node.feed_hold), (StopRequest, node.stop),
            (ResetRequest, node.reset), (Beat, node.on_beat), (Cause, lambda cause: stage.run(cause.seq % 50 / 1000)),
        ]  # fmt: skip
        for step in steps_of(data):
            take(doors, step)
            stage.run(0.003)
        node.look()
        for _, topic, message in stage.sent:
            codec(topic.type).encode(message)

    kinds: list[type[Message]] = [InjectRequest, FeedHoldRequest, StopRequest, ResetRequest, Beat]
    one = [[n, plain(example(kind))] for n, kind in enumerate(kinds)]
    long = [[0, plain(InjectRequest(fault=f, magnitude=2.0, signal=s, duration_s=0.5))] for f, s in FAULTS]
    seeds = [msgpack.packb(one), msgpack.packb([*long, [5, plain(Cause(publisher="", topic="", seq=49))]])]
    return Target("sensory", run, (), seeds, Grammar("msgpack"))


FAULTS = [(f, s) for f in Fault for s in ("x_mm", "drive")]


def console() -> Target:
    """The table in the terminal."""

    def run(data: bytes) -> None:
        stage = Stage()
        node = Console(stage, {})
        node.on_configure()
        node._print = lambda line: None  # type: ignore[method-assign] # the lines of a console without a terminal
        kinds: list[tuple[type[Message], str, Callable[[Any], Any]]] = [
            (MachineState, "machine/state", node.on_state), (MachineInfo, "machine/info", node.on_info),
            (Assessment, "impact/assessment", node.on_assessment),
            (Protection, "impact/protection", node.on_protection),
            (Protection, "machine/protection", node.on_hal_protection),
            (Intervention, "impact/intervention", node.on_intervention),
            (ReactionResult, "impact/reaction", node.on_reaction), (MotionEvent, "machine/motion", node.on_motion),
            (Diagnostics, "/diagnostics", node.on_diagnostics), (RecorderStatus, "/bag/status", node.on_recorder),
            (BagSplit, "/bag/closed", node.on_bag),
        ]  # fmt: skip
        doors: list[Door] = [(kind, _with_source(node, topic, act)) for kind, topic, act in kinds]
        for step in steps_of(data):
            take(doors, step)
        stage.time_ns += 10**10
        node.draw()
        Terminal(file=io.StringIO(), width=120).print(render(node.board, stage.time_ns, "rise"))

    kinds: list[type[Message]] = [
        MachineState, MachineInfo, Assessment, Protection, Protection, Intervention, ReactionResult, MotionEvent,
        Diagnostics, RecorderStatus, BagSplit,
    ]  # fmt: skip
    counts = plain(example(Diagnostics)) | {"node": "vmc1/impact_cortex"}
    counts["topics"][0] |= {"topic": "vmc1/machine/samples", "publisher": "x"}
    one = [[n, plain(example(kind))] for n, kind in enumerate(kinds)]
    seeds = [msgpack.packb(one), msgpack.packb([*one, [8, counts], [8, counts | {"stamp_ns": 10**9}]])]
    return Target("console", run, (), seeds, Grammar("msgpack"))


def recorder() -> Target:
    """The recorder, which hears payloads undecoded: [topic, type, qos, seq, stamp, received, payload, lost_first]."""
    folder = scratch()

    def run(data: bytes) -> None:
        happened: list[Any] = []
        made = recording(folder, happened, black_box_after_s=0.1, black_box_before_s=0.1, reduce_idle=True)
        made.entries({"n": '{"name": "n", "publisher_id": 7}'})
        raws = []
        for step in steps_of(data):
            try:
                topic, type_name, qos, seq, stamp_ns, received_ns, payload, lost = step
                if not isinstance(payload, bytes):
                    payload = msgpack.packb(payload, unicode_errors="surrogatepass")
                cls = KINDS.get(type_name)
                if not all(type(n) is int and 0 <= n < 2**63 for n in (seq, received_ns, lost)) or lost > seq:
                    continue  # the bus hands over no such
                if type(stamp_ns) is not int or not -(2**63) <= stamp_ns < 2**63:
                    continue
                type_name.encode()
                hash_ = type_hash(cls) if cls else "0" * 16
                names = (check_name(topic), "n", 7, seq, stamp_ns, received_ns, payload, type_name, hash_)
                raws.append(Raw(*names, str(qos) if qos in PROFILES else "EVENT", lost))
            except (TypeError, ValueError, AttributeError):
                continue
        try:
            made.batch(raws)
            made.trigger("asked")
            made.sync()
        finally:
            made.close()
            for path in folder.glob("*"):
                path.unlink()

    def raw(topic: str, cls: type[Message], qos: str, seq: int, lost: int = 0, **changes: Any) -> list[Any]:
        payload = plain(example(cls)) | changes
        return [topic, cls.__name__, qos, seq, START_NS + seq, START_NS + seq * 10**10, payload, lost]

    steps = [
        [raw("vmc1/machine/state", MachineState, "LATCHED", n, execution=e) for n, e in ((1, "ACTIVE"), (2, "READY"))],
        [raw("vmc1/machine/samples", SignalBlock, "SENSOR", n, stamp_ns=n * 10**8) for n in (1, 2, 3, 5)],
        [raw("vmc1/alarm", Alarm, "LATCHED", 1, level="FAULT")],
        [raw("vmc1/impact/intervention", Intervention, "DURABLE", 1)],
        [raw("vmc1/machine/vibration", SignalBlock, "SENSOR", 1)],
        [raw("vmc1/machine/samples", SignalBlock, "SENSOR", 9, lost=3)],
    ]  # fmt: skip
    state = steps[0][:2]
    seeds = [msgpack.packb(s) for s in [*steps, [*state, *steps[1]], [*state, *steps[2], *steps[1], *steps[3]]]]
    return Target("recorder", run, (), seeds, Grammar("msgpack"))


KINDS: dict[str, type[Message]] = {c.__name__: c for c in (MachineState, SignalBlock, Alarm, Intervention)}
