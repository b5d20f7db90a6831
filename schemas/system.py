"""What nodes say about themselves: logs, diagnostics, parameters, traces, bags."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Bytes, Hertz, MeasuredMilliseconds, Message, Nanoseconds, Percent, Seconds
from schemas.machine import ConditionLevel


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogRecord(Message):
    """A line a node wrote."""

    stamp_ns: Nanoseconds
    level: LogLevel
    node: str
    text: str


class ClockTick(Message):
    """The time of a simulated clock; a jump back reconfigures the nodes that follow it."""

    now_ns: Nanoseconds
    rate: float


class TopicCount(Message):
    """What one subscription or publisher of a node has seen of one topic from one publisher since its start."""

    topic: str
    publisher: str
    received: int
    """for the node's own publishers: sent"""
    lost: int
    """sequence numbers that never came"""
    dropped: int
    """came, and were pushed out of the full queue by newer ones"""
    expired: int
    repaired: int
    undecodable: int
    unknown_fields: int
    delay_p50_ms: MeasuredMilliseconds
    """from publishing to the end of the callback that handled the message; for a tap, to its arrival"""
    delay_p99_ms: MeasuredMilliseconds


class Finding(Message):
    """One thing wrong with a node."""

    code: str
    level: ConditionLevel
    text: str
    count: int


class LogStatus(Message):
    """The log of a DURABLE topic that a node publishes."""

    topic: str
    log_id: str
    """in hex; another one when the log was lost and begun anew"""
    first_seq: int
    """of the oldest event that is kept"""
    last_seq: int
    size_bytes: Bytes
    problem: str
    """why events are not kept at the moment; empty when they are"""


class CursorStatus(Message):
    """Where a node stands in the log of a publisher."""

    topic: str
    publisher: str
    log_id: str
    seq: int
    """of the last event handled"""
    behind: int
    """events published and not handled yet; -1 while the publisher is away"""


class Diagnostics(Message):
    """A node's health, once a second and when a finding appears."""

    stamp_ns: Nanoseconds
    node: str
    level: ConditionLevel
    findings: tuple[Finding, ...]
    topics: tuple[TopicCount, ...]
    callbacks: int
    callback_max_ms: MeasuredMilliseconds
    queue_depth: int
    logs: tuple[LogStatus, ...] = ()
    cursors: tuple[CursorStatus, ...] = ()


class ProcessState(StrEnum):
    WAITING = "WAITING"
    """for what it needs"""
    STARTING = "STARTING"
    READY = "READY"
    STOPPING = "STOPPING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class ProcessStatus(Message):
    """One process as its supervisor sees it."""

    name: str
    nodes: tuple[str, ...]
    state: ProcessState
    pid: int
    restarts: int
    last_exit: str
    cpu_pct: Percent
    pss_bytes: Bytes
    scheduling: str


class Processes(Message):
    """All processes of a launch, once a second."""

    stamp_ns: Nanoseconds
    launch: str
    processes: tuple[ProcessStatus, ...]


class ParameterValue(Message):
    """A parameter's value as JSON text, so that one message carries every type."""

    name: str
    json_value: str


class ParameterDescription(Message):
    """A parameter as its node declares it. `ge` and `le` are NaN where there is no bound."""

    name: str
    json_value: str
    json_default: str
    type: str
    unit: str
    doc: str
    ge: float
    le: float


class ParametersRequest(Message):
    """Ask for all parameters."""


class ParametersReply(Message):
    """What the node's parameters are."""

    parameters: tuple[ParameterDescription, ...]


class SetParameterRequest(Message):
    """Set one parameter of a running node."""

    name: str
    json_value: str
    changed_by: str


class Done(Message):
    """Whether it was done, and if not, why."""

    ok: bool
    text: str


class ParameterEvent(Message):
    """A parameter changed."""

    stamp_ns: Nanoseconds
    node: str
    name: str
    json_old: str
    json_new: str
    changed_by: str


class ServiceEvent(Message):
    """A call as its server saw it: recorded, so that who asked what of a machine can be read later."""

    stamp_ns: Nanoseconds
    service: str
    client: str
    server: str
    outcome: str
    duration_ms: MeasuredMilliseconds
    request: bytes
    reply: bytes


class TraceBlock(Message):
    """What a node's thread did, in order: replay follows it.

    `records` is packed little-endian, one `<B H Q Q q I` per callback: kind, index into `names`, publisher id, sequence
    number, now_ns, index into `payloads` + 1 (0: none). Kinds are bus.trace.Kind.
    """

    first: int
    """callbacks of this node before this block"""
    names: tuple[str, ...]
    payloads: tuple[bytes, ...]
    records: bytes
    parameters_json: str = ""
    """the node's parameters as the block begins, so that a bag cut anywhere holds them"""


class ProcessRequest(Message):
    """Ask a launcher to stop or restart one of its processes."""

    process: str
    changed_by: str


class BagSplit(Message):
    """The recorder closed (or recovered) a file."""

    stamp_ns: Nanoseconds
    path: str
    sha256: str
    start_ns: Nanoseconds
    end_ns: Nanoseconds
    size_bytes: Bytes
    run_ids: tuple[str, ...]
    messages: int
    lost: int
    host: str


class BagDeleted(Message):
    """The quota took a file."""

    stamp_ns: Nanoseconds
    path: str
    size_bytes: Bytes
    reason: str


class RecorderStatus(Message):
    """What the recorder is doing, once a second."""

    stamp_ns: Nanoseconds
    path: str
    size_bytes: Bytes
    messages: int
    lost: int
    rate_hz: Hertz
    duration_s: Seconds
    used_bytes: Bytes
    quota_bytes: Bytes
    paused: str = ""
    """why nothing is recorded at the moment"""


class BlackBoxRequest(Message):
    """Write the ring in memory to a file of its own."""

    reason: str


class LostMessages(Message):
    """The recorder saw a gap it could not close: written into the bag at the place of the gap."""

    stamp_ns: Nanoseconds
    topic: str
    publisher: str
    first_seq: int
    last_seq: int
    reason: str = "lost"
    """`lost` on the way, `disk` when there was no room, `reduced` when only their range was kept"""


class WebAddress(Message):
    """Where the dashboard is."""

    stamp_ns: Nanoseconds
    url: str
    """without a key"""
    file: str
    """on the hub's computer, readable by its user alone: the address as it is to be opened the first time, with a key
    where there is one; empty when it could not be written"""
