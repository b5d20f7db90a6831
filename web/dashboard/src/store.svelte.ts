/** The one place where messages become what the page shows: connection, board, rings, session, route. */
import { get, post, showUser } from "./api.ts";
import { Board } from "./model.ts";
import type { Column, Hello, Intervention, MotionEvent, ReactionResult, SignalInfo, StandingAlarm, User, Verdict } from "./protocol.ts";
import { Ring } from "./ring.ts";
import { format, oneTimeKey, parse, type Route, type View } from "./route.ts";
import { type Feed, type Listener, Wire } from "./wire.ts";

/** rows kept of a source: four minutes at 1 kHz, half a minute at 10 kHz */
const RING_ROWS = 1 << 18;
/** of the overview's traces: the rest of a second's fraction is never looked at */
const REDRAW_MS = 100;

const ALWAYS = [
  "*/machine/state", "*/machine/info", "*/machine/signals", "*/machine/protection", "*/machine/motion",
  "*/impact/assessment", "*/impact/protection", "*/impact/intervention", "*/impact/reaction", "*/impact/verdict",
  "*/job/run", "alarm/standing", "diagnostics", "launch/processes", "bag/status", "bag/closed", "graph/topology",
  "log",
];
const SIGNALS_ID = 2;
const EXTRA_ID = 3;

export interface Source {
  topic: string;
  source: string;
  machine: string;
  columns: Column[];
  ring: Ring;
}

interface Past extends Intervention {
  machine: string;
  results: ReactionResult[];
  motion: MotionEvent[];
  verdict: Verdict | null;
}

const same = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);

export class Store implements Listener {
  readonly board = new Board();
  readonly sources = new Map<string, Source>();
  /** grows when something on the board changed: what is derived reads it */
  tick = $state(0);
  connected = $state(false);
  everConnected = $state(false);
  simulated = $state(false);
  domain = $state("");
  user = $state<User | null>(null);
  trouble = $state("");
  route = $state<Route>({ view: "overview", query: {} });
  night = $state(false);
  /** signed on by the one-time key: there is no administrator yet */
  byKey = $state(false);
  readonly administrator = $derived(this.user?.roles.includes("administrator") ?? false);
  private key = "";
  readonly wire: Wire;
  private dirty = false;

  constructor() {
    const url = new URL("ws", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = url.search = "";
    this.wire = new Wire(url.href, this);
    this.night = localStorage.getItem("night") === "yes";
  }

  start(): void {
    this.key = oneTimeKey(location.hash);
    if (this.key) history.replaceState(null, "", "#/overview"); // a key is no thing to leave in the history
    this.route = parse(location.hash);
    window.addEventListener("hashchange", () => (this.route = parse(location.hash)));
    this.wire.subscribe(1, ALWAYS);
    this.wire.start();
    window.setInterval(() => {
      // stale is a matter of time, not of messages: look again even when nothing came
      if (this.dirty || performance.now() - this.ticked_ms > 500) this.bump();
    }, REDRAW_MS);
  }

  private ticked_ms = 0;

  bump(): void {
    this.dirty = false;
    this.ticked_ms = performance.now();
    this.tick++;
  }

  now(): number {
    return this.wire.now();
  }

  /** The topic of which the newest message is shown; empty: none. */
  look(topic: string): void {
    this.board.echoed = topic;
    this.board.echo = null;
    this.wire.subscribe(EXTRA_ID, topic ? [topic] : []);
  }

  /** Signals that a view needs; the ones before are ended. */
  want(topics: string[]): void {
    this.wire.subscribe(SIGNALS_ID, topics);
  }

  go(view: View, query: Record<string, string> = {}): void {
    location.hash = format({ view, query });
  }

  /** Another state of the same view: no new entry in the history. */
  replace(query: Record<string, string>): void {
    const hash = format({ view: this.route.view, query });
    if (hash !== location.hash) history.replaceState(null, "", hash);
  }

  setNight(night: boolean): void {
    this.night = night;
    localStorage.setItem("night", night ? "yes" : "no");
  }

  async whoAmI(): Promise<void> {
    try {
      this.shows((await get<{ user: User | null }>("session")).user);
    } catch {
      this.shows(null);
    }
  }

  private shows(user: User | null): void {
    this.user = user;
    showUser(user?.name ?? "");
  }

  /** Signs on by the one-time key that stood behind the address. */
  private async signOnByKey(): Promise<void> {
    const key = this.key;
    this.key = "";
    if (!key) return;
    try {
      await post("session", { key });
      await this.whoAmI();
      this.byKey = this.user !== null;
    } catch (error) {
      this.said((error as Error).message);
    }
  }

  /** What was decided before this page was opened. */
  private async past(): Promise<void> {
    try {
      // more alarms than the bus keeps for who comes late; what the line said meanwhile is newer
      for (const alarm of await get<StandingAlarm[]>("alarms"))
        if (!this.board.alarms.has(alarm.alarm_id)) this.board.alarm(alarm);
      for (const told of (await get<Past[]>("interventions?most=100")).reverse()) {
        const m = this.board.machine(told.machine);
        this.board.intervention(told.machine, told);
        for (const r of told.results) if (!m.results.some((o) => same(o, r))) m.results.push(r);
        for (const e of told.motion) if (!m.motion.some((o) => same(o, e))) m.motion.push(e);
        if (told.verdict) m.verdicts.set(`${told.intervention_id}@${told.stamp_ns}`, told.verdict);
      }
      this.dirty = true;
    } catch (error) {
      this.said((error as Error).message);
    }
  }

  hello(hello: Hello): void {
    this.domain = hello.domain;
    this.simulated = hello.simulated;
    this.shows(hello.user);
    this.everConnected = true;
    this.board.alarms.clear(); // what stands comes anew; what went while nobody listened does not
    void this.signOnByKey();
    void this.past();
  }

  state(open: boolean): void {
    this.connected = open;
    if (open) this.trouble = "";
    this.bump();
  }

  said(text: string): void {
    this.trouble = text;
  }

  message(feed: Feed, message: Record<string, unknown>, _publish_s: number): void {
    this.board.take(feed.name, feed.type, feed.publisher, message, this.now(), feed.units);
    if (feed.type === "MachineInfo") this.simulated = [...this.board.machines.values()].every((m) => m.info?.simulated !== false);
    this.dirty = true;
  }

  columns(feed: Feed, columns: Column[] | null): void {
    if (!columns?.length) return;
    const key = `${feed.name}|${feed.source}`;
    const old = this.sources.get(key);
    if (old && old.columns.map((c) => c.name).join() === columns.map((c) => c.name).join()) return;
    const machine = feed.name.slice(0, feed.name.indexOf("/"));
    const ring = new Ring(columns.length, RING_ROWS);
    this.sources.set(key, { topic: feed.name, source: feed.source, machine, columns, ring });
    this.dirty = true;
  }

  rows(feed: Feed, bytes: Uint8Array, rows: number, start_s: number, period_s: number, firstRow: number): void {
    const source = this.sources.get(`${feed.name}|${feed.source}`);
    if (!source) return;
    source.ring.push(bytes, rows, start_s, period_s, firstRow, feed.binRows > 1 ? feed.binRows / 2 : 1);
    this.board.machine(source.machine).heard_s = this.now();
  }

  withdrawn(feed: Feed, key: string | null): void {
    this.board.withdrawn(feed.name, feed.type, feed.publisher, key);
    this.dirty = true;
  }

  /** The source and column of a signal of a machine. */
  find(machine: string, signal: string): [Source, number] | null {
    for (const source of this.sources.values()) {
      if (source.machine !== machine) continue;
      const column = source.columns.findIndex((c) => c.name === signal);
      if (column >= 0) return [source, column];
    }
    return null;
  }

  /** Every signal of a machine by name, also those that nobody has asked for yet. */
  channels(machine: string): SignalInfo[] {
    return this.board.machine(machine).signals;
  }
}

export const store = new Store();
