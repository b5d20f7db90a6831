/** What a screen of `bins` pixels can show of many rows: the least and the greatest of each pixel. */
import type { Ring } from "./ring.ts";

export type Line = (number | null | undefined)[];

/** Times of the points of a window: two per bin. */
export function binTimes(from: number, to: number, bins: number, out: number[]): number[] {
  const step = (to - from) / bins;
  out.length = 2 * bins;
  for (let b = 0; b < bins; b++) {
    out[2 * b] = from + b * step;
    out[2 * b + 1] = from + (b + 0.5) * step;
  }
  return out;
}

/**
 * One column in the bins of a window: least and greatest of each. `undefined` where no row falls into a bin (the line
 * goes on), `null` where rows have no reading (the line breaks).
 */
export function decimate(ring: Ring, column: number, from: number, to: number, bins: number, out: Line): Line {
  out.length = 2 * bins;
  out.fill(undefined);
  const step = (to - from) / bins;
  const [times, values] = ring.window(column, ring.find(from), ring.find(to));
  let bin = -1;
  let lo = 0;
  let hi = 0;
  let some = false;
  let loFirst = true;
  const close = (): void => {
    if (bin < 0) return;
    out[2 * bin] = some ? (loFirst ? lo : hi) : null;
    out[2 * bin + 1] = some ? (loFirst ? hi : lo) : null;
  };
  for (let i = 0; i < times.length; i++) {
    const b = Math.min(bins - 1, Math.max(0, Math.floor((times[i]! - from) / step)));
    const v = values[i]!;
    if (b !== bin) {
      close();
      bin = b;
      some = false;
    }
    if (Number.isNaN(v)) continue;
    if (!some) {
      lo = hi = v;
      some = loFirst = true;
    } else if (v < lo) {
      lo = v;
      loFirst = false;
    } else if (v > hi) {
      hi = v;
      loFirst = true;
    }
  }
  close();
  return out;
}

/** The value at a time, or of the last row before it; NaN where there is none within a tenth of a second. */
export function valueAt(ring: Ring, column: number, t: number): number {
  const after = ring.find(t);
  const row = after < ring.total && Math.abs(ring.at(after) - t) < 1e-9 ? after : after - 1;
  if (row < ring.first || t - ring.at(row) > 0.1) return NaN;
  return ring.window(column, row, row + 1)[1][0] ?? NaN;
}
