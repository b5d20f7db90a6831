/** The connection to the hub: subscribes, checks every number, comes back by itself and says where it was. */
import { decode, encode } from "@msgpack/msgpack";
import type { Batch, Column, FromHub, Hello, Names, Position } from "./protocol.ts";
import { Sequence, type Stretch } from "./sequence.ts";

export const SUBPROTOCOL = "rise.1";
const PING_MS = 1000;
/** nothing heard for so long: the line is dead even if the socket does not know it */
export const SILENT_MS = 2500;
const RETRY_MS = [200, 500, 1000, 2000];
const RESUME_MAX = 1000;
/** close codes from here on: the same would be said again */
const FINAL_CODE = 4000;
/** of a recording's time, how far a moment is drawn out until the next one is told */
const DRAWN_OUT_S = 0.3;
const KEYED = new Set(["StandingAlarm", "Alarm", "Diagnostics", "Tunnel"]);

export interface Feed extends Names {
  binRows: number;
  /** nothing came of it yet: the first of a latched value may have any number */
  fresh: boolean;
  /** asked for at the moment; what is still on its way of an ended subscription proves nothing */
  wanted: boolean;
}

export interface Listener {
  hello(hello: Hello): void;
  message(feed: Feed, message: Record<string, unknown>, publish_s: number): void;
  rows(feed: Feed, bytes: Uint8Array, rows: number, start_s: number, period_s: number, firstRow: number): void;
  columns(feed: Feed, columns: Column[] | null): void;
  withdrawn(feed: Feed, key: string | null): void;
  said(text: string): void;
  state(open: boolean): void;
  /** a connection was refused, or nobody is there; a browser does not tell which */
  unreached(): void;
  /** of a recording: all that follows is of another time */
  sought(): void;
  moved(position: Position): void;
  /** of a recording: it will not come back */
  ended(text: string): void;
}

/** 64-bit integers come as bigint: as numbers they are exact to 256 ns, which a screen does not show. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  const out: Record<string, unknown> = {};
  for (const [key, v] of Object.entries(value)) out[key] = plain(v);
  const stamp = (value as Record<string, unknown>).stamp_ns;
  if (typeof stamp === "bigint") out.stamp_text = stamp.toString(); // to be said back exactly
  return out;
}

/** Whether a full name is meant: `*` is exactly one level. */
export function matches(pattern: string, topic: string): boolean {
  if (!pattern.includes("*")) return pattern === topic;
  const [wanted, given] = [pattern.split("/"), topic.split("/")];
  return wanted.length === given.length && wanted.every((w, i) => w === "*" || w === given[i]);
}

export class Wire {
  sequence = new Sequence();
  open = false;
  /** seconds of the domain's clock minus the browser's; NaN before the first batch */
  offset_s = NaN;
  private feeds = new Map<number, Feed>();
  private readonly wanted = new Map<number, { topics: string[]; window_s: number }>();
  private socket: WebSocket | null = null;
  private heard_ms = 0;
  private attempts = 0;
  private pings = 0;
  private stopped = false;
  private timer = 0;
  /** of a recording: a moment in it, when that was told, and how fast it goes on */
  private at_s = NaN;
  private told_s = 0;
  private speed = 0;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
    /** plays a bag: its time is that of the recording, and goes as fast as it is told */
    private readonly recorded = false,
  ) {}

  start(): void {
    this.connect();
    this.timer = window.setInterval(() => this.look(), PING_MS);
  }

  close(): void {
    this.stopped = true;
    window.clearInterval(this.timer);
    this.socket?.close();
  }

  /** Seconds of the domain's clock now. */
  now(): number {
    if (this.recorded) return this.at_s + Math.min(DRAWN_OUT_S, performance.now() / 1000 - this.told_s) * this.speed;
    return performance.now() / 1000 + this.offset_s;
  }

  /** Sends what a recording is asked, as soon as there is a line. */
  request(asked: object): void {
    this.send(asked);
  }

  /** Asks for topics under a number of the caller's; the same number again replaces, no topics end it. */
  subscribe(id: number, topics: string[], window_s = 10): void {
    const before = this.wanted.get(id);
    if (before?.topics.join() === topics.join() && before.window_s === window_s) return;
    if (topics.length) this.wanted.set(id, { topics, window_s });
    else this.wanted.delete(id);
    for (const feed of this.feeds.values()) {
      const wanted = this.isWanted(feed.name);
      if (wanted !== feed.wanted) this.sequence.forget(`${feed.name}|${feed.publisher_id}`); // it begins anew, or ends
      feed.wanted = wanted;
    }
    if (!this.open) return;
    if (topics.length) this.send({ op: "subscribe", id, topics, window_s });
    else if (before) this.send({ op: "unsubscribe", id });
  }

  private isWanted(topic: string): boolean {
    return [...this.wanted.values()].some(({ topics }) => topics.some((pattern) => matches(pattern, topic)));
  }

  private send(request: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(encode(request, { useBigInt64: true }));
  }

  private connect(): void {
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard_ms = performance.now();
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
      this.heard_ms = performance.now();
      try {
        this.take(decode(new Uint8Array(event.data), { useBigInt64: true }) as FromHub);
      } catch (error) {
        this.listener.said(`a message of the hub could not be read: ${String(error)}`);
      }
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.open) this.down();
      else this.listener.unreached();
      if (event.code >= FINAL_CODE) {
        this.stopped = true;
        return this.listener.ended(event.reason);
      }
      if (event.reason) this.listener.said(event.reason);
      const wait = RETRY_MS[Math.min(this.attempts++, RETRY_MS.length - 1)]!;
      if (!this.stopped) window.setTimeout(() => this.connect(), wait);
    };
  }

  private down(): void {
    if (!this.open) return;
    this.open = false;
    this.feeds = new Map();
    this.listener.state(false);
  }

  private look(): void {
    if (this.socket && performance.now() - this.heard_ms > SILENT_MS) {
      const dead = this.socket;
      this.down();
      this.socket = null;
      dead.onclose = dead.onmessage = null;
      dead.close();
      if (!this.stopped) this.connect();
    } else if (this.open) this.send({ op: "ping", n: ++this.pings });
  }

  private take(said: FromHub): void {
    if (said.op === "batch") return this.batch(said);
    if (said.op === "names") {
      const old = this.feeds.get(said.topic);
      const feed: Feed = { ...said, binRows: old?.binRows ?? 1, fresh: !old, wanted: this.isWanted(said.name) };
      this.feeds.set(said.topic, feed);
      return this.listener.columns(feed, said.columns);
    }
    if (said.op === "hello") return this.greeted(said);
    if (said.op === "pong") return this.clock(said.now_ns);
    if (said.op === "dropped") return this.sequence.dropped(said.batches);
    if (said.op === "error") return this.listener.said(said.text);
    if (said.op === "sought") return this.sought();
    if (said.op === "position") return this.moved(plain(said) as unknown as Position);
    const feed = this.feeds.get(said.topic);
    if (!feed) return;
    if (said.op === "decimated") feed.binRows = said.bin_rows;
    else if (said.op === "withdrawn") this.listener.withdrawn(feed, said.key);
  }

  private greeted(hello: Hello): void {
    this.open = true;
    this.attempts = 0;
    this.clock(hello.now_ns);
    this.listener.state(true);
    const resume = this.recorded ? {} : this.sequence.resume(() => true, RESUME_MAX);
    for (const [id, { topics, window_s }] of this.wanted) this.send({ op: "subscribe", id, topics, window_s, resume });
    this.listener.hello(hello);
  }

  private sought(): void {
    this.feeds = new Map();
    this.sequence = new Sequence();
    this.listener.sought();
  }

  private moved(position: Position): void {
    this.speed = position.paused ? 0 : position.speed;
    this.clock(position.at_ns);
    this.listener.moved(position);
  }

  private clock(now_ns: number | bigint): void {
    if (this.recorded) {
      this.at_s = Number(now_ns) / 1e9;
      this.told_s = performance.now() / 1000;
      return;
    }
    // the least delay seen lately is nearest the truth: go up at once, down slowly
    const offset = Number(now_ns) / 1e9 - performance.now() / 1000;
    if (!(Math.abs(offset - this.offset_s) < 1)) this.offset_s = offset;
    else this.offset_s = Math.max(offset, this.offset_s - 1e-5);
  }

  private batch(batch: Batch): void {
    this.clock(batch.now_ns);
    const stretches = new Map<string, Stretch[]>();
    const note = (feed: Feed, first: number | bigint, last: number | bigint, why = ""): void => {
      if (!feed.wanted) return;
      const key = `${feed.name}|${feed.publisher_id}`;
      if ((KEYED.has(feed.type) || (feed.fresh && feed.qos === "LATCHED")) && !why) return this.sequence.skip(key, Number(last));
      const list = stretches.get(key);
      const s = { first: Number(first), last: Number(last), why };
      if (list) list.push(s);
      else stretches.set(key, [s]);
    };
    for (const [n, first, last, why] of batch.gaps) {
      const feed = this.feeds.get(n);
      if (feed) note(feed, first, last, why);
    }
    for (const [n, first, last, row, stamp, period, rows, columns, bytes] of batch.signals) {
      const feed = this.feeds.get(n);
      if (!feed) continue;
      note(feed, first, last);
      const period_s = Number(period) / 1e9;
      if (feed.columns && feed.columns.length !== columns) continue;
      // two rows stand for one bin: they are drawn half a bin apart
      const each = feed.binRows > 1 ? period_s / 2 : period_s;
      this.listener.rows(feed, bytes, rows, Number(stamp) / 1e9, each, Number(row));
    }
    for (const [n, seq, publish_ns, message] of batch.messages) {
      const feed = this.feeds.get(n);
      if (!feed) continue;
      note(feed, seq, seq);
      this.listener.message(feed, plain(message) as Record<string, unknown>, Number(publish_ns) / 1e9);
    }
    for (const [key, list] of stretches) this.sequence.take(key, list);
    for (const [n] of batch.messages) {
      const feed = this.feeds.get(n);
      if (feed) feed.fresh = false;
    }
  }
}
