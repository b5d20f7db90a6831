/** The URL holds the view: `#/signals?m=vmc1&ch=spindle_load_pct&w=5`. */

export const VIEWS = ["overview", "machine", "signals", "alarms", "nodes", "graph", "bags", "topology", "users"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const view = VIEWS.find((v) => v === path) ?? "overview";
  return { view, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function format(route: Route): string {
  const query = Object.entries(route.query).filter(([, v]) => v !== "");
  const text = new URLSearchParams(query).toString().replaceAll("%2C", ",");
  return `#/${route.view}${text ? `?${text}` : ""}`;
}

/** The one-time key that `make run` prints behind the address: `#key=...`. */
export function oneTimeKey(hash: string): string {
  return /^#key=([^&]+)/.exec(hash)?.[1] ?? "";
}
