import { describe, expect, it } from "vitest";
import { binTimes, decimate, type Line, valueAt } from "../src/decimate.ts";
import { Ring } from "../src/ring.ts";

/** Rows of (value, -value) as the hub sends them, at an odd address if asked. */
function rows(values: number[], odd = false): Uint8Array {
  const data = new Uint8Array(new Float32Array(values.flatMap((v) => [v, -v])).buffer);
  if (!odd) return data;
  const moved = new Uint8Array(data.byteLength + 1);
  moved.set(data, 1);
  return moved.subarray(1);
}

describe("a ring", () => {
  it("keeps the newest rows, and every window is one piece", () => {
    const ring = new Ring(2, 8);
    for (let i = 0; i < 30; i++) ring.push(rows([i]), 1, i / 1000, 0.001, i);
    expect([ring.total, ring.first, ring.missing]).toEqual([30, 22, 0]);
    const [times, values] = ring.window(1, 0, 30);
    expect([...values]).toEqual([-22, -23, -24, -25, -26, -27, -28, -29]);
    expect(times[0]).toBeCloseTo(0.022, 9);
    expect(times.buffer.byteLength).toBe(2 * 8 * 8); // no copy
    expect(ring.latest(0)).toBe(29);
  });

  it("takes more rows at once than it holds", () => {
    const ring = new Ring(2, 4);
    ring.push(rows([0, 1, 2, 3, 4, 5, 6]), 7, 0, 1, 0);
    expect([...ring.window(0, ring.first, ring.total)[1]]).toEqual([3, 4, 5, 6]);
  });

  it("reads rows that begin at an odd address", () => {
    const ring = new Ring(2, 4);
    ring.push(rows([1.5, 2.5], true), 2, 0, 1, 0);
    expect([...ring.window(0, 0, 2)[1]]).toEqual([1.5, 2.5]);
  });

  it("counts rows that the source says are missing, and breaks the line there", () => {
    const ring = new Ring(2, 16);
    ring.push(rows([1, 2]), 2, 0, 0.001, 0);
    ring.push(rows([9]), 1, 0.007, 0.001, 7);
    expect(ring.missing).toBe(5);
    expect([...ring.window(0, 0, ring.total)[1]]).toEqual([1, 2, NaN, 9]);
  });

  it("leaves out what is shorter than it says", () => {
    const ring = new Ring(2, 16);
    ring.push(rows([1]), 5, 0, 0.001, 0);
    expect(ring.total).toBe(0);
  });

  it("finds the first row at or after a time", () => {
    const ring = new Ring(2, 8);
    ring.push(rows([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 10, 100, 1, 0);
    expect([ring.find(0), ring.find(104), ring.find(104.5), ring.find(200)]).toEqual([0, 2, 3, 8]);
    expect([valueAt(ring, 0, 104), valueAt(ring, 0, 104.05)]).toEqual([4, 4]);
    expect(valueAt(ring, 0, 120)).toBeNaN();
  });
});

describe("bins", () => {
  it("show the least and greatest of each, in the order they came", () => {
    const ring = new Ring(2, 64);
    ring.push(rows([1, 5, 2, 2, 8, 0, 3, 3]), 8, 0, 1, 0);
    const line: Line = [];
    expect(decimate(ring, 0, 0, 8, 2, line)).toEqual([1, 5, 8, 0]);
    expect(binTimes(0, 8, 2, [])).toEqual([0, 2, 4, 6]);
  });

  it("keep every extreme of a random signal", () => {
    const ring = new Ring(2, 4096);
    const values = Array.from({ length: 3000 }, (_, i) => Math.fround(Math.sin(i * 12.9898) * 43758.5453 % 1));
    ring.push(rows(values), values.length, 0, 0.001, 0);
    const line = decimate(ring, 0, 0, 3, 100, []) as number[];
    expect(Math.max(...line)).toBe(Math.max(...values));
    expect(Math.min(...line)).toBe(Math.min(...values));
    for (let b = 0; b < 100; b++) {
      const part = values.slice(b * 30, b * 30 + 30);
      expect(new Set([line[2 * b], line[2 * b + 1]])).toEqual(new Set([Math.min(...part), Math.max(...part)]));
    }
  });

  it("join over bins without rows and break where rows have no reading", () => {
    const ring = new Ring(2, 64);
    ring.push(rows([1]), 1, 0, 1, 0);
    ring.push(rows([NaN]), 1, 2, 1, 1);
    ring.push(rows([4]), 1, 4, 1, 2);
    expect(decimate(ring, 0, 0, 6, 6, [])).toEqual([1, 1, undefined, undefined, null, null, undefined, undefined, 4, 4, undefined, undefined]);
  });
});
