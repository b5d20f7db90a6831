/** What the oscilloscope shows, as the URL holds it, and as a table for other programs. */
import type { Shown } from "./plot.ts";

export const MAX_S = 180;
const CSV_ROWS = 1_000_000;

export interface ScopeView {
  machine: string;
  channels: string[];
  window_s: number;
  /** seconds of the right edge; NaN follows the newest row */
  end: number;
  /** cursors */
  a: number;
  b: number;
  spectrum: boolean;
}

export function readView(query: Record<string, string>, machine: string): ScopeView {
  const seconds = (text: string | undefined): number => (text ? Number(text) : NaN);
  const window_s = Number(query.w ?? 5);
  return {
    machine: query.m || machine,
    channels: (query.ch ?? "").split(",").filter(Boolean),
    window_s: window_s > 0 && window_s <= MAX_S ? window_s : 5,
    end: seconds(query.t),
    a: seconds(query.a),
    b: seconds(query.b),
    spectrum: query.s === "1",
  };
}

export function writeView(v: ScopeView): Record<string, string> {
  const text = (t: number): string => (Number.isFinite(t) ? t.toFixed(6) : "");
  return {
    m: v.machine, ch: v.channels.join(","), w: String(Number(v.window_s.toPrecision(6))),
    t: text(v.end), a: text(v.a), b: text(v.b), s: v.spectrum ? "1" : "",
  };
}

/** Rows of the first line's source, other sources by their last row before; seconds of the epoch in front. */
export function csv(lines: Shown[], from: number, to: number): string {
  const first = lines[0];
  if (!first) return "";
  const start = first.ring.find(from);
  const end = Math.min(first.ring.find(to), start + CSV_ROWS);
  const out = [`time_s,${lines.map((l) => `${l.label} [${l.unit}]`).join(",")}`];
  const [times] = first.ring.window(first.column, start, end);
  const columns = lines.map((l) => (l.ring === first.ring ? l.ring.window(l.column, start, end)[1] : null));
  const at = lines.map((l) => l.ring.find(from));
  for (let i = 0; i < times.length; i++) {
    const t = times[i]!;
    const row = lines.map((l, k) => {
      const own = columns[k];
      if (own) return own[i]!;
      while (at[k]! + 1 < l.ring.total && l.ring.at(at[k]! + 1) <= t) at[k]!++;
      return at[k]! < l.ring.total && l.ring.at(at[k]!) <= t ? l.ring.window(l.column, at[k]!, at[k]! + 1)[1][0]! : NaN;
    });
    out.push(`${t.toFixed(6)},${row.map((v) => (Number.isNaN(v) ? "" : String(v))).join(",")}`);
  }
  return `${out.join("\r\n")}\r\n`;
}
