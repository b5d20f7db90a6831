import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { json } from "../src/api.ts";
import { spectrum, toothPassing } from "../src/fft.ts";
import { bytes, duration, short } from "../src/format.ts";
import type { Shown } from "../src/plot.ts";
import { Ring } from "../src/ring.ts";
import { format, oneTimeKey, parse } from "../src/route.ts";
import { csv, readView, writeView } from "../src/scope.ts";
import { matches, plain } from "../src/wire.ts";

describe("the URL", () => {
  it("holds the view", () => {
    const view = readView({ m: "vmc1", ch: "a,b", w: "2.5", t: "1796078883.25", a: "1796078883.1", s: "1" }, "x");
    const hash = format({ view: "signals", query: writeView(view) });
    expect(hash).toBe("#/signals?m=vmc1&ch=a,b&w=2.5&t=1796078883.250000&a=1796078883.100000&s=1");
    expect(readView(parse(hash).query, "x")).toEqual(view);
  });

  it("that makes no sense shows the overview, or a window that there is", () => {
    expect(parse("#/nonsense?x=1").view).toBe("overview");
    expect(readView({ w: "-3" }, "vmc2")).toMatchObject({ window_s: 5, machine: "vmc2", channels: [] });
  });

  it("may carry a one-time key", () => {
    expect([oneTimeKey("#key=abc-1"), oneTimeKey("#/overview")]).toEqual(["abc-1", ""]);
  });
});

describe("64-bit integers", () => {
  const stamp = 1796078883896123456n;
  it("become numbers, and a stamp keeps its text", () => {
    const message = decode(encode({ stamp_ns: stamp, inner: [{ at_ns: stamp }], n: 5 }, { useBigInt64: true }), { useBigInt64: true });
    expect(plain(message)).toEqual({ stamp_ns: Number(stamp), stamp_text: stamp.toString(), inner: [{ at_ns: Number(stamp) }], n: 5 });
  });

  it("go out exactly", () => {
    expect(json({ intervention_ns: stamp, text: "1n" })).toBe('{"intervention_ns":1796078883896123456,"text":"1n"}');
  });
});

describe("a spectrum", () => {
  it("shows amplitude and frequency of a sine", () => {
    const rate = 10_000;
    const values = Float32Array.from({ length: 5000 }, (_, i) => 20 + 3 * Math.sin((2 * Math.PI * 625 * i) / rate));
    const heights = spectrum(values);
    expect(heights.length).toBe(2048);
    const top = heights.indexOf(Math.max(...heights));
    expect((top * rate) / 2 / heights.length).toBeCloseTo(625, 5);
    expect(heights[top]).toBeCloseTo(3, 1);
  });

  it("is empty where there is too little, or no reading", () => {
    expect([spectrum(new Float32Array(10)).length, spectrum(new Float32Array(100).fill(NaN)).length]).toEqual([0, 0]);
  });

  it("is marked where teeth pass", () => {
    expect(toothPassing(9549, 3)).toBeCloseTo(477.45, 6);
  });
});

describe("a table for other programs", () => {
  it("has the rows of the window, and other sources by their last row before", () => {
    const fast = new Ring(1, 64);
    const slow = new Ring(1, 64);
    const blob = (values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer);
    fast.push(blob([0, 1, 2, 3]), 4, 10, 0.5, 0);
    slow.push(blob([7, NaN]), 2, 10.4, 0.7, 0);
    const line = (label: string, ring: Ring): Shown => ({ label, unit: "%", ring, column: 0, color: "" });
    expect(csv([line("a", fast), line("b", slow)], 10.4, 12).split("\r\n")).toEqual([
      "time_s,a [%],b [%]", "10.500000,1,7", "11.000000,2,7", "11.500000,3,", "",
    ]);
  });
});

describe("numbers as people read them", () => {
  it("are short", () => {
    expect([short(1234.5), short(0.04321), short(NaN), bytes(31_100_000), duration(96), duration(3700)]).toEqual([
      "1235", "0.0432", "–", "31.1 MB", "1 min 36 s", "1 h 1 min",
    ]);
  });
});

describe("a pattern of topics", () => {
  it("has a star for exactly one level", () => {
    const topic = "vmc1/machine/state";
    expect(["*/machine/state", topic, "*/*/*", "*", "*/state", "*/machine/samples"].map((p) => matches(p, topic))).toEqual([true, true, true, false, false, false]);
  });
});
