import { describe, expect, it } from "vitest";
import { jobs, moments } from "../src/bags.ts";
import { edges, layout, sum } from "../src/graph.ts";
import { ALARMS_KEEP, alarmsOf, Board, isStale, protection, raisedSince } from "../src/model.ts";
import { flat, nodeRows } from "../src/nodes.ts";
import { story } from "../src/story.ts";

const alarm = (id: string, more: object = {}): object => ({
  alarm_id: id, machine: "vmc1", level: "WARNING", origin: "vmc1/x", native_code: "C", text: "t", raised_ns: 1, stamp_ns: 1,
  state: "UNACKNOWLEDGED", first_out: false, acknowledged_by: "", acknowledged_ns: 0, ...more,
});
const shield = (state: string, ...reasons: string[]): object => ({ stamp_ns: 1, state, mode: "STOP", reasons });
const told = (board: Board, topic: string, type: string, message: object, now = 0): void =>
  board.take(topic, type, topic.split("/")[0]!, message, now);

describe("a machine", () => {
  it("is stale two seconds after its last word, at once when it is gone or the line is", () => {
    const board = new Board();
    told(board, "vmc1/machine/state", "MachineState", { execution: "ACTIVE" }, 10);
    const m = board.machine("vmc1");
    expect([isStale(m, 12, true), isStale(m, 12.1, true), isStale(m, 10, false)]).toEqual([false, true, true]);
    board.withdrawn("vmc1/machine/state", "MachineState", "vmc1/sensory_cortex", null);
    expect(isStale(m, 10, true)).toBe(true);
    told(board, "vmc1/machine/state", "MachineState", { execution: "ACTIVE" }, 11);
    expect(isStale(m, 11, true)).toBe(false);
  });

  it("is as protected as the worse of two says, and not at all when nobody speaks", () => {
    const board = new Board();
    const m = board.machine("vmc1");
    expect(protection(m, false).state).toBe("UNPROTECTED");
    told(board, "vmc1/impact/protection", "Protection", shield("PROTECTED"));
    expect(protection(m, false).state).toBe("PROTECTED");
    told(board, "vmc1/machine/protection", "Protection", shield("DEGRADED", "no beat"));
    expect(protection(m, false)).toEqual({ state: "DEGRADED", reasons: "no beat" });
    expect(protection(m, true).state).toBe("UNPROTECTED");
  });
});

describe("a machine that only an address names", () => {
  it("is shown as unknown, and is not there", () => {
    const board = new Board();
    told(board, "vmc1/machine/state", "MachineState", { execution: "ACTIVE" });
    expect([board.known("vmc9").name, board.known("vmc9").state]).toEqual(["vmc9", null]);
    expect(board.known("vmc1")).toBe(board.machine("vmc1"));
    expect([...board.machines.keys()]).toEqual(["vmc1"]);
  });
});

describe("alarms", () => {
  it("stand faults first, what is over last, and go when they are normal", () => {
    const board = new Board();
    told(board, "alarm/standing", "StandingAlarm", alarm("w"));
    told(board, "alarm/standing", "StandingAlarm", alarm("over", { level: "FAULT", state: "RETURNED" }));
    told(board, "alarm/standing", "StandingAlarm", alarm("f", { level: "FAULT" }));
    told(board, "alarm/standing", "StandingAlarm", alarm("other", { machine: "vmc2" }));
    expect(alarmsOf(board, "vmc1").map((a) => a.alarm_id)).toEqual(["f", "w", "over"]);
    told(board, "alarm/standing", "StandingAlarm", alarm("f", { state: "NORMAL" }));
    board.withdrawn("alarm/standing", "StandingAlarm", "fanuc_api", "w");
    expect(alarmsOf(board, "vmc1").map((a) => a.alarm_id)).toEqual(["over"]);
  });

  it("are spoken each, also one that was raised again and two at once, and none of before", () => {
    const board = new Board();
    const say = (id: string, raised_ns: number, more: object = {}): void =>
      told(board, "alarm/standing", "StandingAlarm", alarm(id, { raised_ns, ...more }));
    const spoken = (since_ns: number): string[] => raisedSince(board.alarms.values(), since_ns).map((a) => a.alarm_id);
    say("silent", 100);
    expect(spoken(200)).toEqual([]);
    say("stop", 302);
    say("hold", 301);
    expect(spoken(200)).toEqual(["hold", "stop"]);
    say("silent", 400); // it keeps its place in the board
    say("seen", 401, { state: "ACKNOWLEDGED" });
    expect(spoken(302)).toEqual(["silent"]);
  });

  it("never fill the memory, and it is counted what had no room", () => {
    const board = new Board();
    for (let i = 0; i < ALARMS_KEEP + 5; i++) told(board, "alarm/standing", "StandingAlarm", alarm(`a${i}`));
    expect([board.alarms.size, board.alarmsForgotten]).toEqual([ALARMS_KEEP, 5]);
  });
});

const S = 1e9;
const decided = (stamp_ns: number, id: string, more: object = {}): object => ({
  stamp_ns, intervention_id: id, reaction: "FEED_HOLD", would_have: false, reason: "load", run_id: "r1", task: "load_limit", ...more,
});
const moved = (stamp_ns: number, phase: string, travel_mm = 0): object => ({ stamp_ns, phase, action_id: "1", travel_mm, text: "" });

describe("the story of a stop", () => {
  it("goes contact, decision, accepted, axes stood, with the overtravel", () => {
    const board = new Board();
    told(board, "vmc1/machine/motion", "MotionEvent", moved(10 * S, "CONTACT"));
    told(board, "vmc1/impact/intervention", "Intervention", decided(10.01 * S, "e#1"));
    told(board, "vmc1/impact/reaction", "ReactionResult", { stamp_ns: 10.02 * S, intervention_id: "e#1", reaction: "FEED_HOLD", accepted: true, text: "" });
    told(board, "vmc1/machine/motion", "MotionEvent", moved(10.03 * S, "AXES_STANDING", 0.317));
    const { steps } = story(board.machine("vmc1"));
    expect(steps.map((s) => s.what)).toEqual(["contact", "decision FEED_HOLD", "accepted", "axes stood"]);
    expect(steps.at(-1)!.text).toBe("0.32 mm overtravel since contact");
  });

  it("ends with a release; a later stop by hand is a story of its own", () => {
    const board = new Board();
    told(board, "vmc1/impact/intervention", "Intervention", decided(10 * S, "e#1"));
    told(board, "vmc1/machine/motion", "MotionEvent", moved(11 * S, "RELEASED"));
    told(board, "vmc1/machine/motion", "MotionEvent", moved(40 * S, "ACCEPTED"));
    told(board, "vmc1/machine/motion", "MotionEvent", moved(40.1 * S, "AXES_STANDING", 1));
    const { steps, run } = story(board.machine("vmc1"));
    expect(run).toEqual([]);
    expect(steps.map((s) => s.what)).toEqual(["asked by hand", "axes stood"]);
    expect(steps[1]!.text).toBe("1.00 mm since the request");
  });

  it("says what would have been done", () => {
    const board = new Board();
    told(board, "vmc1/impact/intervention", "Intervention", decided(10 * S, "e#1", { would_have: true }));
    expect(story(board.machine("vmc1")).steps[0]!.what).toBe("would have: FEED_HOLD");
  });

  it("is not told twice when the past is read after the present", () => {
    const board = new Board();
    told(board, "vmc1/impact/intervention", "Intervention", decided(10 * S, "e#1"));
    board.intervention("vmc1", decided(10 * S, "e#1") as never);
    board.intervention("vmc1", decided(5 * S, "e#0") as never);
    expect(board.machine("vmc1").interventions.map((i) => i.intervention_id)).toEqual(["e#0", "e#1"]);
  });
});

const count = (topic: string, publisher: string, received: number, lost = 0): object => ({
  topic, publisher, received, lost, dropped: 0, expired: 0, repaired: 0, delay_p50_ms: 0.1, delay_p99_ms: 0.4,
});
const health = (node: string, stamp_s: number, topics: object[], more: object = {}): object => ({
  stamp_ns: stamp_s * S, node, level: "NORMAL", findings: [], topics, callbacks: 1, callback_max_ms: 1, queue_depth: 0, ...more,
});

describe("the graph", () => {
  it("has an edge for each pair with rates out of the counts, and no tools", () => {
    const board = new Board();
    for (const [t, n] of [[1, 1000], [2, 2000]] as const) {
      told(board, "diagnostics", "Diagnostics", health("vmc1/impact_cortex", t, [count("vmc1/machine/samples", "vmc1/sensory_cortex", n, 3)]));
      told(board, "diagnostics", "Diagnostics", health("_session_1", t, [count("vmc1/machine/samples", "vmc1/sensory_cortex", n)]));
    }
    const found = edges(board);
    expect(found.map((e) => `${e.from}>${e.to}`)).toEqual(["vmc1/sensory_cortex>vmc1/impact_cortex"]);
    expect(sum(found[0]!)).toEqual({ topic: "1", rate_hz: 1000, p50_ms: 0.1, p99_ms: 0.4, lost: 3 });
    expect(board.machine("vmc1").samples_lost).toBe(3);
    const drawn = layout(board, found);
    expect(drawn.boxes.map((b) => b.name).sort()).toEqual(["vmc1/impact_cortex", "vmc1/sensory_cortex"]);
    expect(drawn.lines[0]!.points.every((p) => Number.isFinite(p.x) && Number.isFinite(p.y))).toBe(true);
  });

  it("has rows for processes and for what the nodes complain of", () => {
    const board = new Board();
    told(board, "launch/processes", "Processes", { launch: "cell", processes: [{ name: "core", nodes: ["a/x", "a/y"], state: "READY", pid: 1, restarts: 2, last_exit: "", cpu_pct: 5, pss_bytes: 1e6, scheduling: "" }] });
    told(board, "diagnostics", "Diagnostics", health("a/y", 1, [], { level: "FAULT", findings: [{ code: "late", level: "FAULT", text: "too late", count: 1 }] }));
    expect(nodeRows(board).map((r) => [r.name, r.level, r.restarts, r.finding])).toEqual([["a/x", "NORMAL", 2, ""], ["a/y", "FAULT", 2, "late: too late"]]);
  });
});

describe("a message as lines", () => {
  it("has a path, a value and a unit for each field", () => {
    const lines = flat({ load_pct: 12.5, margins: [{ value: 1, stamp_text: "1" }], none: [], data: new Uint8Array(3) }, { load_pct: "%", "margins.value": "N" });
    expect(lines).toEqual([["load_pct", "12.5", "%"], ["margins[0].value", "1", "N"], ["none", "none", ""], ["data", "3 bytes", ""]]);
  });
});

describe("moments in a bag", () => {
  const about = { start_ns: 70 * S, end_ns: 90 * S, trouble: "", moments: [{ machine: "vmc1", at_s: 10, stamp_ns: 80 * S, reaction: "STOP", task: "load_limit", would_have: false }] };
  const bag = { name: "run.mcap", size_bytes: 1, changed_ns: 0, black_box: false, about };

  it("are those of the bag, and while it is written those heard since it was read", () => {
    const board = new Board();
    told(board, "vmc1/impact/intervention", "Intervention", decided(95 * S, "e#2"));
    told(board, "vmc1/impact/intervention", "Intervention", decided(60 * S, "e#1"));
    expect(moments({ ...bag, being_written: true }, board).map((m) => m.at_s)).toEqual([25, 10]);
    expect(moments({ ...bag, being_written: false }, board).map((m) => m.at_s)).toEqual([10]);
    expect(moments({ ...bag, about: null, being_written: true }, board)).toEqual([]);
  });

  it("jobs are numbers where there are any, and programs where not", () => {
    const run = { machine: "vmc1", run_id: "r", program: "O1001" };
    expect(jobs({ trouble: "", runs: [{ ...run, job_id: "502" }, { ...run, job_id: "" }, { ...run, job_id: "502" }] })).toEqual(["502", "O1001"]);
    expect(jobs(null)).toEqual([]);
  });
});
