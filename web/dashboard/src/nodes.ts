/** Nodes as a table, and the newest message of a topic as lines with units. */
import { clock } from "./format.ts";
import type { Board } from "./model.ts";
import type { Level } from "./protocol.ts";

export interface NodeRow {
  name: string;
  state: string;
  level: Level;
  cpu_pct: number;
  pss_bytes: number;
  restarts: number;
  finding: string;
}

export interface Topic {
  name: string;
  /** empty: not known */
  type: string;
  publishers: string[];
}

/** What is published, as the publishers themselves count it. */
export function publishedTopics(board: Board): Topic[] {
  const found = new Map<string, Topic>();
  for (const d of board.diagnostics.values())
    for (const t of d.topics) {
      if (t.publisher !== d.node || isTool(d.node)) continue;
      const topic = found.get(t.topic) ?? { name: t.topic, type: "", publishers: [] };
      found.set(t.topic, { ...topic, publishers: [...topic.publishers, d.node] });
    }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}

/** One call of a command line: nobody looks for it. */
export const isTool = (node: string): boolean => node.split("/").at(-1)!.startsWith("_");

/** Who runs, as supervisors and the nodes themselves say. */
export function nodeRows(board: Board): NodeRow[] {
  const rows = new Map<string, NodeRow>();
  for (const processes of board.processes.values())
    for (const p of processes)
      for (const name of p.nodes.length ? p.nodes : [p.name])
        rows.set(name, {
          name, state: p.state, cpu_pct: p.cpu_pct, pss_bytes: p.pss_bytes, restarts: p.restarts,
          level: p.state === "FAILED" ? "FAULT" : p.state === "READY" ? "NORMAL" : "WARNING", finding: p.last_exit,
        });
  for (const d of board.diagnostics.values()) {
    if (isTool(d.node)) continue;
    const row = rows.get(d.node) ?? {
      name: d.node, state: "", level: "NORMAL" as Level, cpu_pct: NaN, pss_bytes: NaN, restarts: 0, finding: "",
    };
    const worst = d.findings.find((f) => f.level === d.level);
    if (worst) rows.set(d.node, { ...row, level: d.level, finding: `${worst.code}: ${worst.text}` });
    else rows.set(d.node, row);
  }
  return [...rows.values()].sort((a, b) => a.name.localeCompare(b.name));
}

const LINES_MAX = 200;

/** A message as (field, value, unit), nested fields by a dotted path; long lists are cut, and it says so. */
export function flat(message: unknown, units: Record<string, string>): [string, string, string][] {
  const out: [string, string, string][] = [];
  const walk = (value: unknown, path: string, unitPath: string): void => {
    if (out.length >= LINES_MAX) return;
    if (value instanceof Uint8Array) out.push([path, `${value.byteLength} bytes`, ""]);
    else if (Array.isArray(value)) {
      if (!value.length) out.push([path, "none", ""]);
      value.slice(0, 20).forEach((v, i) => walk(v, `${path}[${i}]`, unitPath));
      if (value.length > 20) out.push([path, `and ${value.length - 20} more`, ""]);
    } else if (value !== null && typeof value === "object") {
      for (const [key, v] of Object.entries(value))
        if (key !== "stamp_text") walk(v, path ? `${path}.${key}` : key, unitPath ? `${unitPath}.${key}` : key);
    } else if (typeof value === "number" && /(^|[._])(stamp|start|end|now|raised)_ns$/.test(path)) out.push([path, clock(value), ""]);
    else out.push([path, typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value ?? "–"), units[unitPath] ?? ""]);
  };
  walk(message, "", "");
  return out;
}
