"""The table of everything that travels: read this first.

A name that starts with `/` is the same for the whole shop; every other name is below a machine's namespace
(`vmc1/machine/state`). Names below `node/` are below the node's own full name (`vmc1/impact_cortex/trace`).
"""

from __future__ import annotations

from schemas import audit, graph, impact, machine, shop, system
from schemas.base import DURABLE, EVENT, LATCHED, SENSOR, Service, Topic

# --- a machine: written by sensory_cortex -----------------------------------------------------------------------------
MACHINE_INFO = Topic("machine/info", machine.MachineInfo, LATCHED)
MACHINE_STATE = Topic("machine/state", machine.MachineState, LATCHED, deadline_s=3.0)
SIGNALS = Topic("machine/signals", machine.Signals, LATCHED)
SAMPLES = Topic("machine/samples", machine.SignalBlock, SENSOR, depth=64, rate_hz=1000, deadline_s=0.1, lifespan_s=0.5)
VIBRATION = Topic(
    "machine/vibration", machine.SignalBlock, SENSOR, depth=64, rate_hz=100, deadline_s=0.5, lifespan_s=0.5
)
LEVELS = Topic("machine/levels", machine.SignalLevels, SENSOR, depth=16, rate_hz=10, lifespan_s=2.0)
COOLANT = Topic("coolant/state", machine.CoolantState, LATCHED)
MOTION = Topic("machine/motion", machine.MotionEvent, EVENT)
ALARM = Topic("alarm", machine.Alarm, LATCHED, key="alarm_id", writers="many", depth=4096)

FEED_HOLD = Service(
    "machine/feed_hold",
    machine.FeedHoldRequest,
    machine.ActionReply,
    idempotent=True,
    late="execute",
    acts_on_machine=True,
)
STOP = Service(
    "machine/stop", machine.StopRequest, machine.ActionReply, idempotent=True, late="execute", acts_on_machine=True
)
RESET = Service("machine/reset", machine.ResetRequest, machine.ActionReply, acts_on_machine=True)
INJECT = Service("machine/inject", machine.InjectRequest, machine.InjectReply)

# --- the logic engine: written by impact_cortex -----------------------------------------------------------------------
BEAT = Topic("impact/beat", impact.Beat, SENSOR, depth=4, rate_hz=20, deadline_s=0.25)
PROTECTION = Topic("impact/protection", impact.Protection, LATCHED)
HAL_PROTECTION = Topic("machine/protection", impact.Protection, LATCHED)
ASSESSMENT = Topic("impact/assessment", impact.Assessment, SENSOR, depth=8, rate_hz=20, deadline_s=1.0)
INTERVENTION = Topic("impact/intervention", impact.Intervention, DURABLE)
REACTION_RESULT = Topic("impact/reaction", impact.ReactionResult, EVENT)
VERDICT = Topic("impact/verdict", impact.Verdict, DURABLE)

SET_MODE = Service("impact/set_mode", impact.ModeRequest, impact.ModeReply)
BYPASS = Service("impact/bypass", impact.BypassRequest, impact.ModeReply)
JUDGE = Service("impact/judge", impact.VerdictRequest, impact.VerdictReply)
TUNNEL = Topic("impact/tunnel", impact.Tunnel, LATCHED, key="tunnel_id", persist=True)
TEACH = Service("impact/teach", impact.TeachRequest, system.Done)
JOB_EVENT = Topic("job/event", shop.JobEvent, DURABLE)
JOB_RUN = Topic("job/run", shop.JobRun, LATCHED, persist=True)
JOB_SPEC = Topic("job/spec", shop.JobSpec, LATCHED, writers="many", persist=True)
JOB_START = Service("job/start", shop.JobSpec, shop.JobReply)

# --- the system -------------------------------------------------------------------------------------------------------
LOG = Topic("/log", system.LogRecord, EVENT, writers="many")
DIAGNOSTICS = Topic("/diagnostics", system.Diagnostics, LATCHED, key="node", writers="many")
CLOCK = Topic("/clock", system.ClockTick, SENSOR, depth=1)
PROCESSES = Topic("/launch/processes", system.Processes, LATCHED, writers="many")
RESTART_PROCESS = Service("/launch/restart", system.ProcessRequest, system.Done)
STOP_PROCESS = Service("/launch/stop", system.ProcessRequest, system.Done)

# --- people: written by fanuc_api -------------------------------------------------------------------------------------
AUDIT = Topic("/audit", audit.Audit, DURABLE, writers="many")
STANDING_ALARM = Topic("/alarm/standing", audit.StandingAlarm, LATCHED, key="alarm_id", persist=True)

# --- the shop as a graph: written and served by knowledge_graph -------------------------------------------------------
TOPOLOGY = Topic("/graph/topology", graph.Topology, LATCHED)
CAUSES = Service("/graph/causes", graph.CausesRequest, graph.CausesReply, idempotent=True)
IMPACT = Service("/graph/impact", graph.ImpactRequest, graph.ImpactReply, idempotent=True)
INFLUENCE = Service("/graph/influence", graph.InfluenceRequest, graph.InfluenceReply, idempotent=True)
EXPORT = Service("/graph/export", graph.ExportRequest, graph.ExportReply, idempotent=True)

# --- the web: written by fanuc_api ------------------------------------------------------------------------------------
WEB_ADDRESS = Topic("/web/address", system.WebAddress, LATCHED)

# --- bags: written by recorder ----------------------------------------------------------------------------------------
RECORDER = Topic("/bag/status", system.RecorderStatus, LATCHED)
BAG_CLOSED = Topic("/bag/closed", system.BagSplit, DURABLE)
BAG_RECOVERED = Topic("/bag/recovered", system.BagSplit, DURABLE)
BAG_DELETED = Topic("/bag/deleted", system.BagDeleted, DURABLE)
BAG_LOST = Topic("/bag/lost", system.LostMessages, EVENT)
BLACK_BOX = Service("/bag/black_box", system.BlackBoxRequest, system.Done)

# --- below every node's own name: the executor writes and serves these ------------------------------------------------
NODE_TRACE = Topic("node/trace", system.TraceBlock, EVENT)
NODE_PARAMETERS = Topic("node/parameters", system.ParameterEvent, EVENT)
NODE_DESCRIBE_PARAMETERS = Service(
    "node/describe_parameters", system.ParametersRequest, system.ParametersReply, idempotent=True
)
NODE_SET_PARAMETER = Service("node/set_parameter", system.SetParameterRequest, system.Done)
SERVICE_EVENT = Topic("service/_event", system.ServiceEvent, EVENT, writers="many")


def table() -> dict[str, Topic | Service]:  # type: ignore[type-arg] # rows of every type
    """Every row by its name in this file."""
    return {name: row for name, row in globals().items() if isinstance(row, (Topic, Service))}
