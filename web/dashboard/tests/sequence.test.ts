import { describe, expect, it } from "vitest";
import { Sequence } from "../src/sequence.ts";

const got = (first: number, last = first): { first: number; last: number; why: string } => ({ first, last, why: "" });
const gap = (first: number, last: number, why = "lost"): { first: number; last: number; why: string } => ({ first, last, why });

describe("sequence numbers", () => {
  it("that follow one another are nothing to say", () => {
    const s = new Sequence();
    s.take("a", [got(7, 26)]);
    s.take("a", [got(27, 46)]);
    expect([s.seen, s.lost, s.unexplained]).toEqual([40, 0, 0]);
  });

  it("that the hub says are lost are counted, whatever the order within a batch", () => {
    const s = new Sequence();
    s.take("a", [got(1, 4)]);
    s.take("a", [got(8, 9), gap(5, 7)]);
    expect([s.seen, s.lost, s.unexplained]).toEqual([6, 3, 0]);
  });

  it("that are missing without a word are told apart", () => {
    const s = new Sequence();
    s.take("a", [got(1)]);
    s.take("a", [got(5)]);
    expect([s.lost, s.unexplained, s.where]).toEqual([0, 3, "a 2..4"]);
  });

  it("of dropped batches are explained once per topic", () => {
    const s = new Sequence();
    s.take("a", [got(1)]);
    s.dropped(3);
    s.take("a", [got(50)]);
    s.take("a", [got(60)]);
    expect([s.droppedBatches, s.unexplained]).toEqual([3, 9]);
  });

  it("that come again (latched values) are no hole", () => {
    const s = new Sequence();
    s.take("a", [got(9)]);
    s.take("a", [got(9)]);
    s.take("a", [got(10)]);
    expect([s.seen, s.unexplained]).toEqual([2, 0]);
  });

  it("of keyed values need not follow one another", () => {
    const s = new Sequence();
    s.skip("a", 90);
    s.skip("a", 12);
    expect([s.seen, s.unexplained, s.resume(() => true, 10)]).toEqual([2, 0, { a: 90 }]);
  });

  it("say where to go on", () => {
    const s = new Sequence();
    s.take("x|1", [got(4)]);
    s.take("y|1", [got(6)]);
    expect(s.resume((key) => key !== "y|1", 10)).toEqual({ "x|1": 4 });
  });
});
