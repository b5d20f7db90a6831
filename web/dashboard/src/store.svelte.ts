/** The one place where messages become what the page shows: connection, board, rings, session, route. */
import { get, post, showUser } from "./api.ts";
import type { Bag } from "./bags.ts";
import type { Board } from "./model.ts";
import { Played } from "./played.svelte.ts";
import type { Hello, Intervention, MotionEvent, Position, ReactionResult, SignalInfo, StandingAlarm, User, Verdict } from "./protocol.ts";
import { T } from "./texts.ts";
import { format, oneTimeKey, parse, type Route, type View } from "./route.ts";
import { type Owner, Side, type Source } from "./side.ts";

/** of the overview's traces: the rest of a second's fraction is never looked at */
const REDRAW_MS = 100;

const ALWAYS = [
  "*/machine/state", "*/machine/info", "*/machine/signals", "*/machine/protection", "*/machine/motion",
  "*/impact/assessment", "*/impact/protection", "*/impact/intervention", "*/impact/reaction", "*/impact/verdict",
  "*/job/run", "alarm/standing", "diagnostics", "launch/processes", "bag/status", "bag/closed", "graph/topology",
  "log",
];
/** of a recording: which bags are written is of now; alarms also where no hub was */
const RECORDED = [...ALWAYS.filter((t) => !/^bag\b/.test(t)), "*/alarm"];
const SIGNALS_ID = 2;

interface Past extends Intervention {
  machine: string;
  results: ReactionResult[];
  motion: MotionEvent[];
  verdict: Verdict | null;
}

interface Who {
  user: User | null;
  may_look: boolean;
  /** the machines that have a STOP, also for who may not look */
  stops: string[];
}

const same = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);

export class Store implements Owner {
  /** the shop as it is now: STOP, the connection and what is spoken are of it, whatever is shown */
  readonly live: Side;
  /** a recording that is shown in its place */
  played = $state<Played | null>(null);
  /** grows when something on the board changed: what is derived reads it */
  tick = $state(0);
  liveConnected = $state(false);
  everConnected = $state(false);
  simulated = $state(false);
  domain = $state("");
  user = $state<User | null>(null);
  /** a hub that is open to the network shows nothing to strangers */
  mustSignOn = $state(false);
  /** what can be stopped by who sees nothing else */
  stops = $state<string[]>([]);
  trouble = $state("");
  route = $state<Route>({ view: "overview", query: {} });
  night = $state(false);
  /** signed on by the one-time key: there is no administrator yet */
  byKey = $state(false);
  readonly administrator = $derived(this.user?.roles.includes("administrator") ?? false);
  private key = "";
  private dirty = false;

  constructor() {
    this.live = new Side("ws", this);
    this.night = localStorage.getItem("night") === "yes";
  }

  start(): void {
    this.key = oneTimeKey(location.hash);
    if (this.key) history.replaceState(null, "", "#/overview"); // a key is no thing to leave in the history
    this.route = parse(location.hash);
    window.addEventListener("hashchange", () => (this.route = parse(location.hash)));
    this.live.wire.subscribe(1, ALWAYS);
    this.live.wire.start();
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

  /** What the views show: live, or recorded. */
  get shown(): Side {
    return this.played?.side ?? this.live;
  }

  get board(): Board {
    return this.shown.board;
  }

  /** Machines of which something is shown; a recording may hold what was said of others. */
  get machines(): string[] {
    const all = [...this.board.machines.values()].filter((m) => m.name && (!this.played || m.info || m.state));
    return all.map((m) => m.name).sort();
  }

  /** What stands where no alarm does: of a recording without alarms nobody can say that there was none. */
  get noAlarm(): string {
    return this.played && !this.played.bag.about?.alarms ? T.played.noAlarm : T.noAlarm;
  }

  get connected(): boolean {
    return this.played ? this.played.connected : this.liveConnected;
  }

  now(): number {
    return this.shown.wire.now();
  }

  /** Shows a recording in the place of the shop, until `backToLive`. */
  play(bag: Bag): void {
    this.played?.close();
    this.live.wire.subscribe(SIGNALS_ID, []);
    this.played = new Played(bag, RECORDED, () => (this.dirty = true));
    const machines = bag.about?.machines ?? [];
    if (machines.length === 1) this.go("machine", { m: machines[0]! });
    else this.go("overview");
    this.bump();
  }

  backToLive(): void {
    this.played?.close();
    this.played = null;
    this.bump();
  }

  /** Signals that a view needs; the ones before are ended. */
  want(topics: string[]): void {
    this.shown.wire.subscribe(SIGNALS_ID, topics);
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
      this.seen(await get<Who>("session"));
    } catch {
      this.shows(null);
    }
  }

  private seen(who: Who): void {
    this.shows(who.user);
    this.mustSignOn = !who.may_look;
    this.stops = who.stops;
  }

  /** The answer says who is signed on: nothing more is asked of a slow hub. */
  async signOn(by: { user: string; password: string } | { key: string }): Promise<void> {
    this.shows((await post<{ user: User | null }>("session", by)).user);
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
      await this.signOn({ key });
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
        if (!this.live.board.alarms.has(alarm.alarm_id)) this.live.board.alarm(alarm);
      for (const told of (await get<Past[]>("interventions?most=100")).reverse()) {
        const m = this.live.board.machine(told.machine);
        this.live.board.intervention(told.machine, told);
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
    this.mustSignOn = false;
    this.domain = hello.domain;
    this.simulated = hello.simulated;
    this.shows(hello.user);
    this.everConnected = true;
    this.live.board.alarms.clear(); // what stands comes anew; what went while nobody listened does not
    void this.signOnByKey();
    void this.past();
  }

  state(open: boolean): void {
    this.liveConnected = open;
    if (open) this.trouble = "";
    this.bump();
  }

  unreached(): void {
    get<Who>("session")
      .then((who) => this.seen(who))
      .catch(() => {}); // nobody is there: whoever was signed on may still be
  }

  said(text: string): void {
    this.trouble = text;
  }

  sought(): void {}

  moved(_: Position): void {}

  ended(text: string): void {
    this.trouble = text;
  }

  changed(): void {
    const machines = [...this.live.board.machines.values()];
    if (machines.length) this.simulated = machines.every((m) => m.info?.simulated !== false);
    this.dirty = true;
  }

  /** The source and column of a signal of a machine. */
  find(machine: string, signal: string): [Source, number] | null {
    return this.shown.find(machine, signal);
  }

  /** Every signal of a machine by name, also those that nobody has asked for yet. */
  channels(machine: string): SignalInfo[] {
    return this.board.known(machine).signals;
  }
}

export const store = new Store();
