/** What is known of recordings, and what can be asked of them: parameters of the logic engine, moments at which it decided. */
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

/** An intervention in a bag. */
export interface Moment {
  machine: string;
  stamp_ns: number;
  /** seconds from the beginning of the bag */
  at_s: number;
  reaction: string;
  task: string;
  would_have: boolean;
}

/** What lies in a bag; where it cannot be read only `trouble` is there. */
export interface About {
  start_ns?: number;
  end_ns?: number;
  duration_s?: number;
  machines?: string[];
  runs?: { machine: string; run_id: string; job_id: string; program: string }[];
  interventions?: number;
  /** whether alarms were recorded at all */
  alarms?: boolean;
  moments?: Moment[];
  lost?: number;
  trouble: string;
}

export interface Bag {
  name: string;
  size_bytes: number;
  changed_ns: number;
  black_box: boolean;
  being_written: boolean;
  /** null: the hub had no time to read it yet */
  about: About | null;
}

/** The interventions in a bag, the newest first; of one that is being written also those heard since it was read. */
export function moments(bag: Bag | undefined, board: Board): Moment[] {
  const about = bag?.about;
  const out = [...(about?.moments ?? [])];
  const start = about?.start_ns;
  const until = about?.end_ns;
  if (bag?.being_written && start !== undefined && until !== undefined)
    for (const m of board.machines.values())
      for (const i of m.interventions)
        if (i.stamp_ns > until) out.push({ ...i, machine: m.name, at_s: (i.stamp_ns - start) / 1e9 });
  return out.sort((a, b) => b.stamp_ns - a.stamp_ns);
}

/** Jobs by number, and programs where a run had no job. */
export function jobs(about: About | null): string[] {
  return [...new Set((about?.runs ?? []).map((r) => r.job_id || r.program).filter(Boolean))];
}
