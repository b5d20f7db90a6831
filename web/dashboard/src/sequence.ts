/** Every sequence number of every topic and publisher is looked at: what is missing was either told, or is a fault. */

export interface Stretch {
  first: number;
  last: number;
  /** why it did not come; empty when it did */
  why: string;
}

export class Sequence {
  /** numbers that the hub said did not come */
  lost = 0;
  /** numbers that are missing and nobody said so: must stay 0 */
  unexplained = 0;
  /** the topic and publisher of the last of these */
  where = "";
  /** numbers that came */
  seen = 0;
  /** what the browser was too slow for: the hub said how many batches it dropped */
  droppedBatches = 0;
  private readonly last = new Map<string, number>();
  private excused = new Set<string>();

  /** What one batch said of one topic and publisher, in any order. */
  take(key: string, stretches: Stretch[]): void {
    stretches.sort((a, b) => a.first - b.first);
    for (const s of stretches) {
      const before = this.last.get(key);
      if (before !== undefined && s.last <= before) continue; // a latched value that comes again
      const first = before === undefined ? s.first : Math.max(s.first, before + 1);
      if (before !== undefined && first > before + 1 && !this.excused.has(key)) {
        this.unexplained += first - before - 1;
        this.where = `${key} ${before + 1}..${first - 1}`;
      }
      this.excused.delete(key);
      const count = s.last - first + 1;
      if (s.why) this.lost += count;
      else this.seen += count;
      this.last.set(key, s.last);
    }
  }

  /** The hub dropped batches for this browser: the next hole of each topic is explained by it. */
  dropped(batches: number): void {
    this.droppedBatches += batches;
    this.excused = new Set(this.last.keys());
  }

  /** Numbers of keyed latched values do not follow one another: only the newest of each key comes. */
  skip(key: string, seq: number): void {
    this.seen += 1;
    this.last.set(key, Math.max(seq, this.last.get(key) ?? 0));
  }

  /** Where to go on after the connection was lost. */
  resume(wanted: (key: string) => boolean, most: number): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [key, seq] of [...this.last].slice(-most)) if (wanted(key)) out[key] = seq;
    return out;
  }

  forget(key: string): void {
    this.last.delete(key);
  }
}
