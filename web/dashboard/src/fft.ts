/** Amplitudes of the frequencies in a stretch of a signal. */

/** In place, radix 2: `re` and `im` have a power of two many values. */
export function fft(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j]!, re[i]!];
      [im[i], im[j]] = [im[j]!, im[i]!];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const step = (-2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k++) {
      const c = Math.cos(step * k);
      const s = Math.sin(step * k);
      for (let i = k; i < n; i += size) {
        const j = i + size / 2;
        const tr = re[j]! * c - im[j]! * s;
        const ti = re[j]! * s + im[j]! * c;
        re[j] = re[i]! - tr;
        im[j] = im[i]! - ti;
        re[i] = re[i]! + tr;
        im[i] = im[i]! + ti;
      }
    }
  }
}

/**
 * Peak amplitude per frequency, of the newest 2^k values with a Hann window and without their mean. Entry i is of
 * i * rate / (2 * length) Hz. Empty when there are fewer than 64 values, or one of them is no reading.
 */
export function spectrum(values: Float32Array): Float64Array {
  const n = 2 ** Math.floor(Math.log2(values.length || 1));
  if (n < 64) return new Float64Array(0);
  const part = values.subarray(values.length - n);
  let mean = 0;
  for (const v of part) mean += v / n;
  if (Number.isNaN(mean)) return new Float64Array(0);
  const re = Float64Array.from(part, (v, i) => (v - mean) * 0.5 * (1 - Math.cos((2 * Math.PI * i) / n)));
  const im = new Float64Array(n);
  fft(re, im);
  // a Hann window halves the amplitude
  return Float64Array.from({ length: n / 2 }, (_, i) => (4 * Math.hypot(re[i]!, im[i]!)) / n);
}

/** How often a tooth comes, in Hz. */
export function toothPassing(speed_rpm: number, teeth: number): number {
  return (speed_rpm / 60) * teeth;
}
