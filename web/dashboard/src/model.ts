/** What is known of the shop, gathered from messages: values in, values out. Knows no socket and no page. */
import type {
  Alarm, Assessment, BagSplit, Diagnostics, Intervention, JobRun, LogRecord, MachineInfo, MachineState, MotionEvent,
  ProcessStatus, Protection, ReactionResult, RecorderStatus, Shield, SignalInfo, StandingAlarm, Topology, Verdict,
} from "./protocol.ts";

/** a machine that said nothing for so long is shown as stale, never as live */
export const STALE_S = 2;
const KEEP = 50;
const LOG_KEEP = 500;
const BAGS_KEEP = 200;
const RATES_KEEP = 5000;
export const ALARMS_KEEP = 12_000;

export interface Stamped {
  /** the stamp in nanoseconds, exact */
  stamp_text?: string;
}

export class Machine {
  state: MachineState | null = null;
  info: MachineInfo | null = null;
  assessment: Assessment | null = null;
  brain: Protection | null = null;
  hal: Protection | null = null;
  run: JobRun | null = null;
  signals: SignalInfo[] = [];
  heard_s = -Infinity;
  silent = false;
  decision_p50_ms = NaN;
  decision_p99_ms = NaN;
  samples_lost = 0;
  readonly interventions: (Intervention & Stamped)[] = [];
  readonly results: ReactionResult[] = [];
  readonly motion: MotionEvent[] = [];
  readonly verdicts = new Map<string, Verdict>();

  constructor(readonly name: string) {}
}

export interface Rate {
  count: number;
  stamp_ns: number;
  rate_hz: number;
}

/** the newest message of the topic that somebody looks at */
export interface Echo {
  topic: string;
  type: string;
  publisher: string;
  last: Record<string, unknown>;
  units: Record<string, string>;
}

function keep<T>(list: T[], item: T, most = KEEP): void {
  list.push(item);
  if (list.length > most) list.splice(0, list.length - most);
}

export class Board {
  readonly machines = new Map<string, Machine>();
  readonly alarms = new Map<string, StandingAlarm>();
  readonly diagnostics = new Map<string, Diagnostics>();
  readonly processes = new Map<string, ProcessStatus[]>();
  readonly logs: LogRecord[] = [];
  private standing = false;
  echo: Echo | null = null;
  topology: Topology | null = null;
  recorder: RecorderStatus | null = null;
  readonly closed = new Map<string, BagSplit>();
  bags = 0;
  /** by topic, publisher and who counted */
  readonly rates = new Map<string, Rate>();
  /** alarms that did not fit into memory: told, never silent */
  alarmsForgotten = 0;

  /** `looked`: the topic of which the newest message is kept whole; empty: none */
  constructor(private looked = "") {}

  look(topic: string): void {
    this.looked = topic;
    this.echo = null;
  }

  machine(name: string): Machine {
    let m = this.machines.get(name);
    if (!m) this.machines.set(name, (m = new Machine(name)));
    return m;
  }

  /** What is known of a machine; of one that nobody has spoken of, nothing: no view makes a machine by naming it. */
  known(name: string): Machine {
    return this.machines.get(name) ?? new Machine(name);
  }

  /** One message of the bus. `topic` is its full name, `now_s` the domain's clock. */
  take(topic: string, type: string, publisher: string, message: unknown, now_s: number, units = {}): void {
    if (topic === this.looked) this.echo = { topic, type, publisher, last: message as Record<string, unknown>, units };
    const at = topic.indexOf("/");
    const space = at < 0 ? "" : topic.slice(0, at);
    switch (type) {
      case "MachineState": {
        const m = this.machine(space);
        m.state = message as MachineState;
        m.heard_s = now_s;
        m.silent = false;
        return;
      }
      case "MachineInfo":
        this.machine(space).info = message as MachineInfo;
        this.machine(space).heard_s = now_s;
        return;
      case "Signals":
        this.machine(space).signals = (message as { signals: SignalInfo[] }).signals;
        return;
      case "Assessment":
        this.machine(space).assessment = message as Assessment;
        return;
      case "Protection":
        if (topic.endsWith("/machine/protection")) this.machine(space).hal = message as Protection;
        else this.machine(space).brain = message as Protection;
        return;
      case "Intervention":
        return this.intervention(space, message as Intervention & Stamped);
      case "ReactionResult":
        return keep(this.machine(space).results, message as ReactionResult);
      case "MotionEvent":
        return keep(this.machine(space).motion, message as MotionEvent);
      case "Verdict": {
        const v = message as Verdict;
        this.machine(space).verdicts.set(`${v.intervention_id}@${v.intervention_ns}`, v);
        return;
      }
      case "JobRun":
        this.machine(space).run = message as JobRun;
        return;
      case "StandingAlarm":
        this.standing = true;
        return this.alarm(message as StandingAlarm);
      case "Alarm":
        return this.recordedAlarm(space, message as Alarm);
      case "Diagnostics":
        return this.diagnosed(message as Diagnostics);
      case "Processes": {
        const p = message as { launch: string; processes: ProcessStatus[] };
        this.processes.set(publisher, p.processes);
        return;
      }
      case "LogRecord":
        return keep(this.logs, message as LogRecord, LOG_KEEP);
      case "Topology":
        this.topology = message as Topology;
        return;
      case "RecorderStatus":
        this.recorder = message as RecorderStatus;
        return;
      case "BagSplit": {
        const b = message as BagSplit;
        this.closed.set(b.path.split("/").at(-1)!, b);
        if (this.closed.size > BAGS_KEEP) this.closed.delete(this.closed.keys().next().value!);
        this.bags++;
        return;
      }
    }
  }

  intervention(machine: string, i: Intervention & Stamped): void {
    const list = this.machine(machine).interventions;
    if (list.some((o) => o.intervention_id === i.intervention_id && o.stamp_ns === i.stamp_ns)) return;
    keep(list, i);
    list.sort((a, b) => a.stamp_ns - b.stamp_ns);
  }

  /** What a machine said by itself: it counts in a recording without a hub, where nobody says how people took it. */
  private recordedAlarm(machine: string, a: Alarm): void {
    if (this.standing) return;
    const state = a.level === "NORMAL" ? "NORMAL" : "UNACKNOWLEDGED";
    const raised_ns = this.alarms.get(a.alarm_id)?.raised_ns ?? a.stamp_ns;
    this.alarm({ ...a, machine, state, raised_ns, first_out: false, acknowledged_by: "", acknowledged_ns: 0 });
  }

  /** The hub says of every alarm how it stands between the machine and the people. */
  alarm(a: StandingAlarm): void {
    if (a.state === "NORMAL") this.alarms.delete(a.alarm_id);
    else this.alarms.set(a.alarm_id, a);
    if (this.alarms.size > ALARMS_KEEP) {
      this.alarms.delete(this.alarms.keys().next().value!);
      this.alarmsForgotten++;
    }
  }

  private diagnosed(d: Diagnostics): void {
    this.diagnostics.set(d.node, d);
    for (const t of d.topics) this.rate(`${t.topic}|${t.publisher}|${d.node}`, t.received, d.stamp_ns);
    if (!d.node.endsWith("/impact_cortex")) return;
    const m = this.machine(d.node.slice(0, d.node.indexOf("/")));
    const c = d.topics.find((t) => t.topic === `${m.name}/machine/samples` && t.publisher !== d.node);
    if (!c) return;
    m.samples_lost = c.lost + c.dropped + c.expired;
    m.decision_p50_ms = c.delay_p50_ms;
    m.decision_p99_ms = c.delay_p99_ms;
  }

  private rate(key: string, count: number, stamp_ns: number): void {
    const old = this.rates.get(key);
    const s = old ? (stamp_ns - old.stamp_ns) / 1e9 : NaN;
    if (old && s < 0.5) return; // too short a time to count by
    const rate_hz = old && count >= old.count && s > 0 ? (count - old.count) / s : NaN;
    this.rates.set(key, { count, stamp_ns, rate_hz });
    if (this.rates.size > RATES_KEEP) this.rates.delete(this.rates.keys().next().value!);
  }

  /** The publisher of a latched value is gone, or took it back. */
  withdrawn(topic: string, type: string, publisher: string, key: string | null): void {
    if (type === "StandingAlarm" && key) this.alarms.delete(key);
    else if (type === "MachineState" && !key) this.machine(topic.split("/")[0]!).silent = true;
    else if (type === "Processes") this.processes.delete(publisher);
    else if (type === "Diagnostics") this.diagnostics.delete(key ?? publisher);
  }
}

/** The alarms that nobody has looked at and that were raised later than that, in their order. */
export function raisedSince(alarms: Iterable<StandingAlarm>, since_ns: number): StandingAlarm[] {
  const found = [...alarms].filter((a) => a.raised_ns > since_ns && a.state !== "ACKNOWLEDGED");
  return found.sort((a, b) => a.raised_ns - b.raised_ns);
}

export function isStale(m: Machine, now_s: number, connected: boolean): boolean {
  return !connected || m.silent || !(now_s - m.heard_s <= STALE_S);
}

/** The worse of what the logic engine and the machine's own node say, and why. */
export function protection(m: Machine, stale: boolean): { state: Shield; reasons: string } {
  if (stale) return { state: "UNPROTECTED", reasons: "nothing heard from this machine" };
  const order: Shield[] = ["UNPROTECTED", "DEGRADED", "PROTECTED"];
  const said = [m.hal, m.brain].filter((p) => p !== null);
  if (!said.length) return { state: "UNPROTECTED", reasons: "no logic engine has reported" };
  const worst = said.reduce((a, b) => (order.indexOf(b.state) < order.indexOf(a.state) ? b : a));
  return { state: worst.state, reasons: worst.reasons.join("; ") };
}

/** Alarms of a machine that are so, or that nobody has looked at: what is so before what is over, faults first. */
export function alarmsOf(board: Board, machine: string): StandingAlarm[] {
  const found = [...board.alarms.values()].filter((a) => a.machine === machine);
  return found.sort((a, b) => Number(a.state === "RETURNED") - Number(b.state === "RETURNED") || worstFirst(a, b));
}

const SEVERITY: Record<string, number> = { FAULT: 0, WARNING: 1, UNAVAILABLE: 2, NORMAL: 3 };

export function worstFirst(a: StandingAlarm, b: StandingAlarm): number {
  return (SEVERITY[a.level] ?? 9) - (SEVERITY[b.level] ?? 9) || b.stamp_ns - a.stamp_ns;
}
