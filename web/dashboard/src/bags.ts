/** What can be asked of a recording: parameters of the logic engine, and moments at which it decided. */
import type { Board } from "./model.ts";

export interface Parameter {
  name: string;
  unit: string;
  min: number;
  max: number;
  step: number;
  /** where the slider stands first: another answer is likely there */
  start: number;
}

export const PARAMETERS: Parameter[] = [
  { name: "limit_pct", unit: "%", min: 30, max: 200, step: 5, start: 155 },
  { name: "hard_limit_pct", unit: "%", min: 50, max: 300, step: 5, start: 250 },
  { name: "warn_pct", unit: "%", min: 30, max: 200, step: 5, start: 90 },
  { name: "axis_limit_pct", unit: "%", min: 30, max: 300, step: 5, start: 150 },
  { name: "accel_limit", unit: "m/s²", min: 5, max: 100, step: 1, start: 60 },
];

export interface Moment {
  machine: string;
  stamp_ns: number;
  /** seconds from the beginning of the bag */
  at_s: number;
  reaction: string;
  task: string;
}

/** When a bag begins and ends, in nanoseconds; null when nothing that this page heard says so. */
function span(board: Board, name: string): [number, number] | null {
  const closed = board.closed.get(name);
  if (closed) return [closed.start_ns, closed.end_ns];
  const r = board.recorder;
  if (r && r.path.endsWith(`/${name}`)) return [r.stamp_ns - r.duration_s * 1e9, Infinity];
  return null;
}

/** The interventions of all machines within a bag, the newest first. */
export function around(board: Board, name: string): Moment[] {
  const of = span(board, name);
  if (!of) return [];
  const out: Moment[] = [];
  for (const m of board.machines.values())
    for (const i of m.interventions)
      if (i.stamp_ns >= of[0] && i.stamp_ns <= of[1])
        out.push({ machine: m.name, stamp_ns: i.stamp_ns, at_s: (i.stamp_ns - of[0]) / 1e9, reaction: i.reaction, task: i.task });
  return out.sort((a, b) => b.stamp_ns - a.stamp_ns);
}
