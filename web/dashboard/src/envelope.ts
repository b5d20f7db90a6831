/**
 * Many lines drawn pixel by pixel: of each column of pixels what lies between the least and the greatest reading.
 *
 * A browser without a graphics card strokes a path of a thousand points in a millisecond, and twenty of them in more
 * than a frame has; filling columns of a buffer takes a tenth of that.
 */
import type { Line } from "./decimate.ts";

/** `#rrggbb` as a pixel of an ImageData read as 32-bit words. */
export function pixel(colour: string): number {
  const rgb = Number.parseInt(colour.slice(1, 7), 16) || 0;
  const [r, g, b] = [(rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255];
  return LITTLE ? ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0 : ((r << 24) | (g << 16) | (b << 8) | 255) >>> 0;
}

const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * Draw one line of two points per bin (decimate.ts) over `width` x `height` pixels, which lie column by column (`turn`
 * brings them into rows: so what is filled lies together). `min` is the lowest row of pixels, `max` the highest. Points
 * without a value are crossed by a straight line, `null` breaks it.
 */
export function envelope(
  columns: Uint32Array, width: number, height: number, line: Line, min: number, max: number, ink: number,
): void {
  const bins = line.length >> 1;
  if (!bins || !(max > min)) return;
  const scale = (height - 1) / (max - min);
  const row = (v: number): number => Math.round((max - v) * scale);
  const fill = (x: number, y0: number, y1: number): void => {
    const top = Math.max(0, Math.min(y0, y1));
    const end = Math.min(height - 1, Math.max(y0, y1));
    for (let i = x * height + top, last = x * height + end; i <= last; i++) columns[i] = ink;
  };
  let before = -1; // the last bin with readings, since the line broke
  let last = 0;
  for (let b = 0; b < bins; b++) {
    const first = line[2 * b];
    const second = line[2 * b + 1];
    if (first === null) before = -1;
    if (first === undefined || first === null || second === undefined || second === null) continue;
    const y0 = row(first);
    const y1 = row(second);
    const x0 = Math.floor((b * width) / bins);
    const x1 = Math.max(x0 + 1, Math.floor(((b + 1) * width) / bins));
    if (before >= 0) {
      const from = Math.floor(((before + 1) * width) / bins);
      let y = last;
      for (let x = from; x < x0; x++) {
        const next = Math.round(last + ((y0 - last) * (x - from + 1)) / (x0 - from + 1));
        fill(x, y, next);
        y = next;
      }
      fill(x0, y, y0);
    }
    for (let x = x0; x < x1; x++) fill(x, y0, y1);
    before = b;
    last = y1;
  }
}

const TILE = 32;

/** Columns of pixels into rows. */
export function turn(columns: Uint32Array, rows: Uint32Array, width: number, height: number): void {
  for (let x0 = 0; x0 < width; x0 += TILE)
    for (let y0 = 0; y0 < height; y0 += TILE)
      for (let x = x0, xEnd = Math.min(width, x0 + TILE); x < xEnd; x++)
        for (let y = y0, yEnd = Math.min(height, y0 + TILE); y < yEnd; y++) rows[y * width + x] = columns[x * height + y]!;
}
