/** The rows of one source in memory that never grows: the newest `capacity` rows of every column. */

export class Ring {
  readonly columns: number;
  readonly capacity: number;
  /** rows ever written; the newest has index total - 1 */
  total = 0;
  /** rows that the source's own count says are missing */
  missing = 0;
  private readonly time: Float64Array;
  private readonly values: Float32Array[];
  private nextRow = -1;

  /** Each column is written at i and i + capacity, so that every window is one subarray without a copy. */
  constructor(columns: number, capacity: number) {
    this.columns = columns;
    this.capacity = capacity;
    this.time = new Float64Array(2 * capacity);
    this.values = Array.from({ length: columns }, () => new Float32Array(2 * capacity));
  }

  get first(): number {
    return Math.max(0, this.total - this.capacity);
  }

  /** Seconds of the newest row; NaN before the first. */
  get newest(): number {
    return this.total ? this.at(this.total - 1) : NaN;
  }

  at(row: number): number {
    return this.time[row % this.capacity] ?? NaN;
  }

  /**
   * Rows as the hub sends them: row i was taken at start_s + i * period_s. A hole in the source's own count is
   * written as one row without readings, so that the line breaks there. `perRow` is how many rows of the source one
   * row of these stands for (bins).
   */
  push(bytes: Uint8Array, rows: number, start_s: number, period_s: number, firstRow: number, perRow = 1): void {
    if (rows <= 0 || bytes.byteLength < rows * this.columns * 4) return;
    const data = floats(bytes, rows * this.columns);
    if (this.nextRow >= 0 && firstRow > this.nextRow) {
      this.missing += firstRow - this.nextRow;
      this.blank(this.newest + period_s);
    }
    this.nextRow = firstRow + rows * perRow;
    const skip = Math.max(0, rows - this.capacity);
    for (let r = skip; r < rows; r++) {
      const i = this.total % this.capacity;
      const t = start_s + r * period_s;
      this.time[i] = t;
      this.time[i + this.capacity] = t;
      for (let c = 0; c < this.columns; c++) {
        const column = this.values[c]!;
        const v = data[r * this.columns + c]!;
        column[i] = v;
        column[i + this.capacity] = v;
      }
      this.total++;
    }
  }

  private blank(t: number): void {
    const i = this.total % this.capacity;
    this.time[i] = t;
    this.time[i + this.capacity] = t;
    for (const column of this.values) {
      column[i] = NaN;
      column[i + this.capacity] = NaN;
    }
    this.total++;
  }

  /** The first row at or after a time; `total` when there is none. Times never go back within a source. */
  find(t: number): number {
    let lo = this.first;
    let hi = this.total;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.at(mid) < t) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  /** Times and one column of rows first..last-1, without a copy. */
  window(column: number, first: number, last: number): [Float64Array, Float32Array] {
    const from = Math.max(first, this.first);
    const start = from % this.capacity;
    const end = start + Math.max(0, Math.min(last, this.total) - from);
    return [this.time.subarray(start, end), (this.values[column] ?? new Float32Array(0)).subarray(start, end)];
  }

  latest(column: number): number {
    return this.total ? (this.values[column]?.[(this.total - 1) % this.capacity] ?? NaN) : NaN;
  }
}

/** A blob inside a message may begin at an odd place: then it is copied. */
function floats(bytes: Uint8Array, count: number): Float32Array {
  if (bytes.byteOffset & 3) return new Float32Array(bytes.slice(0, count * 4).buffer);
  return new Float32Array(bytes.buffer, bytes.byteOffset, count);
}
