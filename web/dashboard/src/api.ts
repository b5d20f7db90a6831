/** REST of the hub. A refusal is an Error whose text says why (problem details, RFC 9457). */

const BASE = "api/v1/";
/** whom the page shows as signed on: a page of one is not used under the session of another */
let shownUser = "";
export const showUser = (name: string): void => void (shownUser = name);

const DEADLINE_MS = 10_000;
/** for STOP: who waits longer should go to the red button */
export const STOP_DEADLINE_MS = 3_000;

export class Refused extends Error {
  constructor(
    text: string,
    readonly status: number,
  ) {
    super(text);
  }
}

/** JSON in which a bigint stands as the number that it is. */
export function json(body: unknown): string {
  const text = JSON.stringify(body, (_, v: unknown) => (typeof v === "bigint" ? `\u0000${v}` : v));
  return text.replace(/"\\u0000(-?\d+)"/g, "$1");
}

async function ask<T>(method: string, path: string, body?: unknown, deadline_ms = DEADLINE_MS): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      credentials: "same-origin",
      signal: AbortSignal.timeout(deadline_ms),
      headers: {
        ...(shownUser ? { "x-rise-user": shownUser } : {}),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: json(body) }),
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new Refused(late ? `no answer from the hub within ${deadline_ms / 1000} s` : "the hub cannot be reached", 0);
  }
  const text = await answer.text();
  let said: unknown = null;
  try {
    // stamps are beyond what a number of JavaScript holds: their text is kept beside
    said = text ? JSON.parse(text.replace(/"stamp_ns":\s*(\d{17,})/g, '$&,"stamp_text":"$1"')) : null;
  } catch {
    said = null;
  }
  if (answer.ok) return said as T;
  const problem = (said ?? {}) as { detail?: unknown; title?: string };
  const why = typeof problem.detail === "string" ? problem.detail : problem.title;
  throw new Refused(why || `the hub answered ${answer.status}`, answer.status);
}

export const get = <T>(path: string, deadline_ms?: number): Promise<T> => ask<T>("GET", path, undefined, deadline_ms);
export const post = <T>(path: string, body: unknown = {}, deadline_ms?: number): Promise<T> =>
  ask<T>("POST", path, body, deadline_ms);
export const put = <T>(path: string, body: unknown): Promise<T> => ask<T>("PUT", path, body);
export const remove = <T>(path: string): Promise<T> => ask<T>("DELETE", path);

/** A name with slashes as one part of a path. */
export const part = (name: string): string => encodeURIComponent(name);
