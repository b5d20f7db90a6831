/** uPlot with the page's colours: lines of many rings over one window of time. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { binTimes, decimate, type Line } from "./decimate.ts";
import { envelope, pixel, turn } from "./envelope.ts";
import type { Ring } from "./ring.ts";

export interface Shown {
  label: string;
  unit: string;
  ring: Ring;
  column: number;
  color: string;
}

/** a horizontal line, as a limit or what the model expects */
export interface Level {
  value: number;
  label: string;
  color: string;
  dashed: boolean;
}

/** a vertical line: a cursor, an intervention, a step of a stop */
export interface Mark {
  at: number;
  label: string;
  color: string;
}

export interface PlotOptions {
  height: number;
  zoom?: (from: number, to: number) => void;
  zoomOut?: () => void;
  click?: (at: number, shift: boolean) => void;
  axes?: boolean;
}

const known = new Map<string, string>();
let knownOf = "";

/** A colour of the page as it is now; asking the page each time would cost a frame its budget. */
export function colour(name: string): string {
  const night = document.documentElement.dataset.night ?? "";
  if (night !== knownOf) known.clear();
  knownOf = night;
  let found = known.get(name);
  if (found === undefined) known.set(name, (found = getComputedStyle(document.documentElement).getPropertyValue(name).trim()));
  return found;
}

/** lines differ by lightness and hue; names stand beside them */
export const INKS = ["#2d5b8c", "#7a4a12", "#3f6b3a", "#6b3f7a", "#256d6d", "#7a2f4f", "#55552a", "#4a4e8f"];
export const INKS_NIGHT = ["#8ab4f8", "#e0b27a", "#9ccf94", "#cfa0df", "#7fd1d1", "#e59ab8", "#cfcf8a", "#b0b4f0"];

/** so many lines are stroked; more are filled in pixel by pixel */
const MANY = 6;

export class Plot {
  private plot: uPlot | null = null;
  private key = "";
  private levels: Level[] = [];
  private marks: Mark[] = [];
  private readonly times: number[] = [];
  private lines: Line[] = [];
  private window: [number, number] = [0, 1];
  private readonly size: ResizeObserver;
  private pixels: ImageData | null = null;
  private columns = new Uint32Array(0);
  private readonly canvas = document.createElement("canvas");
  private width = 100;
  private height = 120;

  constructor(
    private readonly host: HTMLElement,
    private readonly options: PlotOptions,
  ) {
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(host);
    this.fit();
  }

  /** The room there is; asked when it changes, not with every frame. */
  private fit(): void {
    this.width = Math.max(100, Math.floor(this.host.clientWidth));
    this.height = this.options.height || Math.max(120, this.host.clientHeight);
    if (this.plot && (this.plot.width !== this.width || this.plot.height !== this.height))
      this.plot.setSize({ width: this.width, height: this.height });
  }

  draw(shown: Shown[], from: number, to: number, levels: Level[] = [], marks: Mark[] = []): void {
    const key = shown.map((s) => `${s.label} ${s.unit} ${s.color}`).join("|") + colour("--text");
    if (key !== this.key || !this.plot) {
      this.key = key;
      this.plot?.destroy();
      this.plot = this.make(shown);
    }
    this.levels = levels;
    this.marks = marks;
    this.window = [from, to];
    const bins = Math.max(50, this.width);
    binTimes(from, to, bins, this.times);
    if (this.lines.length !== shown.length) this.lines = shown.map(() => []);
    shown.forEach((s, i) => decimate(s.ring, s.column, from, to, bins, this.lines[i]!));
    this.plot.setData([this.times, ...this.lines] as uPlot.AlignedData, true);
  }

  private make(shown: Shown[]): uPlot {
    const text = colour("--text");
    const grid = colour("--quiet");
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const units = [...new Set(shown.map((s) => s.unit))];
    const bare = this.options.axes === false;
    const options: uPlot.Options = {
      width: this.width,
      height: this.height,
      legend: { show: false },
      cursor: { show: !bare, drag: { x: !bare, y: false, setScale: false }, points: { show: false } },
      scales: {
        x: { time: false, range: () => this.window },
        ...Object.fromEntries(units.map((u) => [u, { range: (_: uPlot, lo: number, hi: number) => this.span(lo, hi, u === units[0]) }])),
      },
      axes: [
        { ...axis, show: !bare, values: (_, ticks) => ticks.map((t) => ago(t, this.window[1])) },
        ...units.slice(0, 3).map((u, i) => ({
          ...axis, scale: u, side: i % 2 ? 1 : 3, size: bare ? 44 : 60, label: bare ? "" : u,
          grid: i ? { show: false } : axis.grid, space: 26,
        })),
      ],
      series: [
        {},
        ...shown.map((s) => ({
          label: s.label, scale: s.unit, stroke: s.color, width: bare ? 1.5 : 1, points: { show: false }, spanGaps: false,
          ...(shown.length > MANY ? { paths: () => null } : {}),
        })),
      ],
      hooks: {
        draw: [(u) => (shown.length > MANY && this.fill(u, shown), this.decorate(u, units[0]))],
        setSelect: [
          (u) => {
            if (u.select.width < 8) return;
            this.options.zoom?.(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    };
    const plot = new uPlot(options, [[], ...shown.map(() => [])], this.host);
    if (!bare) {
      plot.over.addEventListener("click", (e) => {
        const rect = plot.over.getBoundingClientRect();
        this.options.click?.(plot.posToVal(e.clientX - rect.left, "x"), e.shiftKey);
      });
      plot.over.addEventListener("dblclick", () => this.options.zoomOut?.());
    }
    return plot;
  }

  /** The range of a scale: never flat, and limits of the first unit are in sight. */
  private span(lo: number, hi: number, first: boolean): [number, number] {
    if (!Number.isFinite(lo) || !Number.isFinite(hi)) [lo, hi] = [0, 1];
    if (first)
      for (const l of this.levels) {
        lo = Math.min(lo, l.value);
        hi = Math.max(hi, l.value);
      }
    const pad = Math.max((hi - lo) * 0.08, Math.abs(hi) * 1e-3, 1e-6);
    return [lo - pad, hi + pad];
  }

  /** Many lines, filled in. */
  private fill(u: uPlot, shown: Shown[]): void {
    const { left, top, width, height } = u.bbox;
    if (width < 1 || height < 1) return;
    if (this.pixels?.width !== width || this.pixels.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.pixels = new ImageData(width, height);
      this.columns = new Uint32Array(width * height);
    }
    this.columns.fill(0);
    shown.forEach((s, i) => {
      const { min, max } = u.scales[s.unit] ?? {};
      if (min != null && max != null) envelope(this.columns, width, height, this.lines[i]!, min, max, pixel(s.color));
    });
    turn(this.columns, new Uint32Array(this.pixels.data.buffer), width, height);
    this.canvas.getContext("2d", { willReadFrequently: true })?.putImageData(this.pixels, 0, 0);
    u.ctx.drawImage(this.canvas, left, top);
  }

  private decorate(u: uPlot, scale: string | undefined): void {
    if (!scale) return;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${13 * ratio}px sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.lineWidth = 2 * ratio;
    for (const l of this.levels) {
      const y = u.valToPos(l.value, scale, true);
      if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
      ctx.strokeStyle = ctx.fillStyle = l.color;
      ctx.setLineDash(l.dashed ? [8 * ratio, 6 * ratio] : []);
      line(ctx, bbox.left, y, bbox.left + bbox.width, y);
      ctx.fillText(l.label, bbox.left + 6 * ratio, y - 4 * ratio);
    }
    ctx.setLineDash([]);
    for (const m of this.marks) {
      const x = u.valToPos(m.at, "x", true);
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.strokeStyle = ctx.fillStyle = m.color;
      line(ctx, x, bbox.top, x, bbox.top + bbox.height);
      ctx.fillText(m.label, x + 4 * ratio, bbox.top + 14 * ratio);
    }
    ctx.restore();
  }

  close(): void {
    this.size.disconnect();
    this.plot?.destroy();
  }
}

function line(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

/** Times on the axis count from the right edge: `-2.5 s`. */
function ago(t: number, end: number): string {
  const s = t - end;
  return Math.abs(s) < 1e-9 ? "0" : Math.abs(s) < 0.1 ? `${(s * 1000).toFixed(1)} ms` : `${s.toFixed(Math.abs(s) < 10 ? 2 : 0)} s`;
}
