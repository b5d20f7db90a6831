/** Numbers and times as people read them. */

export function number(v: number | null | undefined, digits = 1): string {
  return v === null || v === undefined || !Number.isFinite(v) ? "–" : v.toFixed(digits);
}

/** 3 significant digits, so that columns of mixed sizes stay narrow. */
export function short(v: number | null | undefined): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  if (v === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(v))));
  return v.toFixed(Math.min(6, digits));
}

export function bytes(v: number): string {
  if (!Number.isFinite(v)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (v >= 1000 && i < units.length - 1) {
    v /= 1000;
    i++;
  }
  return `${v.toFixed(i && v < 100 ? 1 : 0)} ${units[i]}`;
}

/** 14:03:22.418, local time */
export function clock(stamp_ns: number, digits = 3): string {
  if (!Number.isFinite(stamp_ns) || stamp_ns <= 0) return "–";
  const d = new Date(stamp_ns / 1e6);
  const two = (v: number): string => String(v).padStart(2, "0");
  const text = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return digits ? `${text}.${String(d.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : text;
}

export function date(stamp_ns: number): string {
  return stamp_ns > 0 ? `${new Date(stamp_ns / 1e6).toLocaleDateString()} ${clock(stamp_ns, 0)}` : "–";
}

export function duration(s: number): string {
  if (!Number.isFinite(s)) return "–";
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** FEED_HOLD as it is spoken. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
