/** A recording that is played: where it is, and what the time bar asks of it. Nothing here acts on a machine. */
import { part } from "./api.ts";
import type { Bag, Moment } from "./bags.ts";
import type { Hello, Position } from "./protocol.ts";
import { type Owner, Side } from "./side.ts";

export const SPEEDS = [1, 4, 16];
/** a time bar that is dragged asks no more often: each answer is seconds of signals */
const SEEK_MS = 120;
/** so near to what was asked for is there, also when it plays on */
const NEAR_S = 1;

export class Played implements Owner {
  readonly side: Side;
  readonly moments: Moment[];
  position = $state<Position | null>(null);
  connected = $state(false);
  /** why it cannot be played any more */
  over = $state("");
  speed = $state(1);
  /** seconds from the beginning that were asked for, until they are there */
  asked_s = $state<number | null>(null);
  /** the player has gone somewhere since it was asked last */
  private went = false;
  private timer = 0;
  private sent_ms = -Infinity;

  constructor(
    readonly bag: Bag,
    topics: string[],
    private readonly changes: () => void,
  ) {
    this.moments = [...(bag.about?.moments ?? [])];
    this.side = new Side(`ws/bags/${part(bag.name)}`, this, true);
    this.side.wire.subscribe(1, topics);
    this.side.wire.start();
  }

  get start_ns(): number {
    return this.position?.start_ns ?? this.bag.about?.start_ns ?? 0;
  }

  get duration_s(): number {
    return this.position ? (this.position.end_ns - this.position.start_ns) / 1e9 : (this.bag.about?.duration_s ?? 0);
  }

  get at_s(): number {
    return this.asked_s ?? (this.position ? (this.position.at_ns - this.position.start_ns) / 1e9 : 0);
  }

  get paused(): boolean {
    return this.position?.paused ?? true;
  }

  play(speed = this.speed): void {
    this.speed = speed;
    this.side.wire.request({ op: "play", speed });
  }

  pause(): void {
    this.side.wire.request({ op: "pause" });
  }

  /** Goes to a moment, in seconds from the beginning; of many asked for soon one after another only the last. */
  seek(at_s: number): void {
    this.asked_s = Math.min(Math.max(at_s, 0), this.duration_s);
    if (this.timer) return;
    this.timer = window.setTimeout(() => this.send(), Math.max(0, this.sent_ms + SEEK_MS - performance.now()));
  }

  private send(): void {
    this.timer = 0;
    this.sent_ms = performance.now();
    this.went = false;
    if (this.asked_s === null) return;
    this.side.wire.request({ op: "seek", at_ns: BigInt(this.start_ns) + BigInt(Math.round(this.asked_s * 1e9)) });
  }

  /** The intervention before (-1) or behind (1) this moment. */
  next(direction: 1 | -1): Moment | undefined {
    const here = this.at_s + direction * 0.05;
    const found = this.moments.filter((m) => (direction > 0 ? m.at_s > here : m.at_s < here));
    return direction > 0 ? found[0] : found.at(-1);
  }

  close(): void {
    window.clearTimeout(this.timer);
    this.side.wire.close();
  }

  hello(_: Hello): void {
    const was = this.position;
    if (!was) return this.play();
    this.side.wire.request({ op: "seek", at_ns: BigInt(was.at_ns) }); // it came back: where it was
    if (!was.paused) this.play();
  }

  sought(): void {
    this.went = true;
  }

  moved(position: Position): void {
    this.position = position;
    const at_s = (position.at_ns - position.start_ns) / 1e9;
    if (this.asked_s !== null && this.went && !this.timer && Math.abs(at_s - this.asked_s) < NEAR_S) this.asked_s = null;
    this.changes();
  }

  state(open: boolean): void {
    this.connected = open;
    this.changes();
  }

  unreached(): void {}

  said(text: string): void {
    this.over = text;
  }

  ended(text: string): void {
    this.over ||= text;
  }

  changed(): void {
    this.changes();
  }
}
