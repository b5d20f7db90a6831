/** The steps of the last stop in order: contact, decisions, accepted, axes stood; or a stop that somebody asked for. */
import type { Machine, Stamped } from "./model.ts";
import type { Intervention, MotionEvent } from "./protocol.ts";

/** what is this close to an intervention belongs to its story */
const TIMELINE_NS = 20e9;
const PHASES: Record<string, string> = {
  CONTACT: "contact",
  DECELERATING: "decelerating",
  AXES_STANDING: "axes stood",
  SPINDLE_STANDING: "spindle stood",
};
/** of steps with one and the same stamp; decisions stand between */
const ORDER: Record<string, number> = {
  contact: 0, accepted: 2, REFUSED: 2, decelerating: 3, "axes stood": 3, "spindle stood": 3,
};

export interface Step {
  stamp_ns: number;
  what: string;
  text: string;
}

/** The interventions of the last event, the first of them first. */
export function lastEvent(m: Machine): (Intervention & Stamped)[] {
  const last = m.interventions.at(-1);
  if (!last) return [];
  return m.interventions.filter((i) => last.stamp_ns - i.stamp_ns < TIMELINE_NS && i.run_id === last.run_id);
}

/** A release ends a story, so none goes past it. */
function moves(m: Machine, run: Intervention[]): MotionEvent[] {
  const first = run[0];
  const last = run.at(-1);
  let out: MotionEvent[] = [];
  for (const e of [...m.motion].sort((a, b) => a.stamp_ns - b.stamp_ns)) {
    if (e.phase === "RELEASED") {
      if (last && e.stamp_ns > last.stamp_ns) break;
      if (!first || e.stamp_ns < first.stamp_ns) out = [];
    } else if (!first || Math.abs(e.stamp_ns - first.stamp_ns) < TIMELINE_NS) out.push(e);
  }
  return out;
}

export function story(m: Machine): { steps: Step[]; run: (Intervention & Stamped)[] } {
  let run = lastEvent(m);
  let motion = moves(m, run);
  const byHand = moves(m, []);
  const last = run.at(-1);
  if (byHand[0] && (!last || (byHand[0].stamp_ns > last.stamp_ns && !motion.includes(byHand[0])))) {
    run = [];
    motion = byHand;
  }
  const ids = new Set(run.map((i) => i.intervention_id));
  const steps: Step[] = run
    .filter((i) => i.reaction !== "NONE")
    .map((i) => ({
      stamp_ns: i.stamp_ns,
      what: i.would_have ? `would have: ${i.reaction}` : `decision ${i.reaction}`,
      text: i.reason,
    }));
  for (const r of m.results)
    if (ids.has(r.intervention_id))
      steps.push({ stamp_ns: r.stamp_ns, what: r.accepted ? "accepted" : "REFUSED", text: `${r.reaction} ${r.text}`.trim() });
  const touched = motion.some((e) => e.phase === "CONTACT");
  for (const e of motion) {
    const what = PHASES[e.phase];
    const text =
      e.phase === "AXES_STANDING"
        ? `${e.travel_mm.toFixed(2)} mm ${touched ? "overtravel since contact" : "since the request"}`
        : e.text;
    if (what) steps.push({ stamp_ns: e.stamp_ns, what, text });
    else if (!run.length && e.phase === "ACCEPTED") steps.push({ stamp_ns: e.stamp_ns, what: "asked by hand", text });
  }
  steps.sort((a, b) => a.stamp_ns - b.stamp_ns || (ORDER[a.what] ?? 1) - (ORDER[b.what] ?? 1));
  return { steps, run };
}
