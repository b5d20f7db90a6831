/** What one connection has told: the live shop, or a recording of it. Messages in, board and rings out. */
import { Board } from "./model.ts";
import type { Column, Hello, Position } from "./protocol.ts";
import { Ring } from "./ring.ts";
import { type Feed, type Listener, Wire } from "./wire.ts";

/** rows kept of a source: four minutes at 1 kHz, half a minute at 10 kHz */
const RING_ROWS = 1 << 18;
/** the subscription of the topic that is looked at */
const LOOKED_ID = 3;

export interface Source {
  topic: string;
  source: string;
  machine: string;
  columns: Column[];
  ring: Ring;
}

export interface Owner {
  hello(hello: Hello): void;
  state(open: boolean): void;
  unreached(): void;
  said(text: string): void;
  ended(text: string): void;
  sought(): void;
  moved(position: Position): void;
  changed(): void;
}

class Told {
  readonly board: Board;
  readonly sources = new Map<string, Source>();

  constructor(looked: string) {
    this.board = new Board(looked);
  }
}

export class Side implements Listener {
  readonly wire: Wire;
  private looked = "";
  private told = new Told("");
  /** what is being told of another time; it takes the place of `told` when all of it is there */
  private coming: Told | null = null;

  constructor(
    path: string,
    private readonly owner: Owner,
    recorded = false,
  ) {
    const url = new URL(path, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = url.search = "";
    this.wire = new Wire(url.href, this, recorded);
  }

  get board(): Board {
    return this.told.board;
  }

  get sources(): Map<string, Source> {
    return this.told.sources;
  }

  private get target(): Told {
    return this.coming ?? this.told;
  }

  hello(hello: Hello): void {
    this.owner.hello(hello);
  }

  state(open: boolean): void {
    this.owner.state(open);
  }

  unreached(): void {
    this.owner.unreached();
  }

  said(text: string): void {
    this.owner.said(text);
  }

  ended(text: string): void {
    this.owner.ended(text);
  }

  sought(): void {
    this.coming = new Told(this.looked);
    this.owner.sought();
  }

  moved(position: Position): void {
    if (this.coming) this.told = this.coming;
    this.coming = null;
    this.owner.moved(position);
  }

  message(feed: Feed, message: Record<string, unknown>): void {
    this.target.board.take(feed.name, feed.type, feed.publisher, message, this.wire.now(), feed.units);
    this.owner.changed();
  }

  columns(feed: Feed, columns: Column[] | null): void {
    if (!columns?.length) return;
    const { sources } = this.target;
    const key = `${feed.name}|${feed.source}`;
    const old = sources.get(key);
    if (old && old.columns.map((c) => c.name).join() === columns.map((c) => c.name).join()) return;
    const machine = feed.name.slice(0, feed.name.indexOf("/"));
    const ring = new Ring(columns.length, RING_ROWS);
    sources.set(key, { topic: feed.name, source: feed.source, machine, columns, ring });
    this.owner.changed();
  }

  rows(feed: Feed, bytes: Uint8Array, rows: number, start_s: number, period_s: number, firstRow: number): void {
    const source = this.target.sources.get(`${feed.name}|${feed.source}`);
    if (!source) return;
    source.ring.push(bytes, rows, start_s, period_s, firstRow, feed.binRows > 1 ? feed.binRows / 2 : 1);
    this.target.board.machine(source.machine).heard_s = this.wire.now();
  }

  withdrawn(feed: Feed, key: string | null): void {
    this.target.board.withdrawn(feed.name, feed.type, feed.publisher, key);
    this.owner.changed();
  }

  /** The topic of which the newest message is shown; empty: none. */
  look(topic: string): void {
    this.looked = topic;
    this.target.board.look(topic);
    this.wire.subscribe(LOOKED_ID, topic ? [topic] : []);
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
}
