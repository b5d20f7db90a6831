/** Who hears whom, as the nodes themselves count: one edge for each pair, with all its topics. */
import dagre from "@dagrejs/dagre";
import type { Board } from "./model.ts";
import { isTool, nodeRows } from "./nodes.ts";

export interface Flow {
  topic: string;
  rate_hz: number;
  p50_ms: number;
  p99_ms: number;
  lost: number;
}

export interface Edge {
  from: string;
  to: string;
  flows: Flow[];
}

export function edges(board: Board): Edge[] {
  const out = new Map<string, Edge>();
  for (const d of board.diagnostics.values())
    for (const t of d.topics) {
      if (t.publisher === d.node || !t.publisher || isTool(t.publisher) || isTool(d.node)) continue;
      const key = `${t.publisher}>${d.node}`;
      let edge = out.get(key);
      if (!edge) out.set(key, (edge = { from: t.publisher, to: d.node, flows: [] }));
      edge.flows.push({
        topic: t.topic,
        rate_hz: board.rates.get(`${t.topic}|${t.publisher}|${d.node}`)?.rate_hz ?? NaN,
        p50_ms: t.delay_p50_ms,
        p99_ms: t.delay_p99_ms,
        lost: t.lost + t.dropped + t.expired,
      });
    }
  for (const e of out.values()) e.flows.sort((a, b) => (b.rate_hz || 0) - (a.rate_hz || 0));
  return [...out.values()].sort((a, b) => `${a.from}${a.to}`.localeCompare(`${b.from}${b.to}`));
}

/** What stands on an edge: all rates together, and the worst of the rest. */
export function sum(edge: Edge): Flow {
  const most = (pick: (f: Flow) => number): number => Math.max(...edge.flows.map(pick).filter(Number.isFinite), -Infinity);
  return {
    topic: `${edge.flows.length}`,
    rate_hz: edge.flows.reduce((s, f) => s + (Number.isFinite(f.rate_hz) ? f.rate_hz : 0), 0),
    p50_ms: most((f) => f.p50_ms),
    p99_ms: most((f) => f.p99_ms),
    lost: edge.flows.reduce((s, f) => s + f.lost, 0),
  };
}

export interface Box {
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Drawn {
  width: number;
  height: number;
  boxes: Box[];
  lines: { edge: Edge; points: { x: number; y: number }[]; x: number; y: number }[];
}

const BOX_HEIGHT = 48;
const LABEL = { width: 150, height: 36 };

/** Where boxes and lines lie. */
export function layout(board: Board, drawn: Edge[]): Drawn {
  const g = new dagre.graphlib.Graph();
  g.setGraph({ rankdir: "LR", nodesep: 24, ranksep: 60, marginx: 8, marginy: 8 });
  g.setDefaultEdgeLabel(() => ({}));
  const names = new Set([...nodeRows(board).map((r) => r.name), ...drawn.flatMap((e) => [e.from, e.to])]);
  for (const name of names) g.setNode(name, { width: Math.max(120, name.length * 10 + 44), height: BOX_HEIGHT });
  for (const e of drawn) g.setEdge(e.from, e.to, { ...LABEL, labelpos: "c" });
  dagre.layout(g);
  const size = g.graph() as { width?: number; height?: number };
  return {
    width: size.width ?? 100,
    height: size.height ?? 100,
    boxes: g.nodes().map((name: string) => {
      const n = g.node(name) as { x: number; y: number; width: number; height: number };
      return { name, x: n.x, y: n.y, width: n.width, height: n.height };
    }),
    lines: drawn.map((edge) => {
      const e = g.edge(edge.from, edge.to) as { points: { x: number; y: number }[]; x?: number; y?: number };
      const middle = e.points[Math.floor(e.points.length / 2)]!;
      return { edge, points: e.points, x: e.x ?? middle.x, y: e.y ?? middle.y };
    }),
  };
}
