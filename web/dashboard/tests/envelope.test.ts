import { expect, test } from "vitest";
import type { Line } from "../src/decimate.ts";
import { envelope, pixel, turn } from "../src/envelope.ts";

/** What is drawn, a text per row of pixels. */
function drawn(line: Line, width: number, height: number): string[] {
  const pixels = new Uint32Array(width * height);
  const columns = new Uint32Array(width * height);
  envelope(columns, width, height, line, 0, height - 1, 1);
  turn(columns, pixels, width, height);
  return Array.from({ length: height }, (_, y) =>
    Array.from(pixels.subarray(y * width, (y + 1) * width), (p) => (p ? "#" : ".")).join(""),
  );
}

test("each column holds what lies between least and greatest, and joins the one before", () => {
  expect(drawn([0, 0, 0, 3, 2, 2], 3, 4)).toEqual([".##", ".##", ".#.", "##."]);
});

test("a line goes straight on over bins without a reading", () => {
  expect(drawn([0, 0, undefined, undefined, undefined, undefined, 3, 3], 4, 4)).toEqual(["...#", "..##", ".##.", "##.."]);
});

test("a line breaks where there is no reading", () => {
  expect(drawn([0, 0, null, null, 3, 3], 3, 4)).toEqual(["..#", "...", "...", "#.."]);
});

test("what lies outside is cut off", () => {
  expect(drawn([-1e30, 1e30, 9, 9, 1, 1], 3, 3)).toEqual(["#.#", "#.#", "#.."]);
});

test("more pixels than bins, and fewer", () => {
  expect(drawn([1, 1, 1, 1], 5, 3)).toEqual([".....", "#####", "....."]);
  expect(drawn([0, 0, 1, 1, 2, 2, 0, 0], 2, 3)[2]![0]).toBe("#");
});

test("turning moves every pixel, whatever the size", () => {
  const [width, height] = [70, 45];
  const columns = Uint32Array.from({ length: width * height }, (_, i) => i);
  const rows = new Uint32Array(width * height);
  turn(columns, rows, width, height);
  for (let i = 0; i < rows.length; i++) expect(rows[i]).toBe((i % width) * height + Math.floor(i / width));
});

test("colours are those of the page", () => {
  const bytes = new Uint8Array(new Uint32Array([pixel("#2d5b8c")]).buffer);
  expect([...bytes]).toEqual([0x2d, 0x5b, 0x8c, 255]);
});
