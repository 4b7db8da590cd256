// SPDX-License-Identifier: ISC
// The server's REST API. The token goes into the Authorization header and nowhere else.
import { pageToken, session, signedOut } from "./session";

/** Addresses are relative to the page, which may live below a path of a proxy. */
export const base = (): URL => new URL(".", location.href.replace(/[?#].*$/, ""));

export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** What the server answered instead of what was wanted. status 0: no answer at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: readonly FieldError[] = [],
    readonly requestId = "",
    readonly retryAfter = 0, // seconds
  ) {
    super(message);
  }
}

/** The server is not there: nobody answered, or a proxy in its place. A 503 of its own has words: it is there, and lacks something. */
export const isAway = (error: unknown): boolean =>
  error instanceof ApiError && (error.code === "NO_ANSWER" || (["HTTP_502", "HTTP_503", "HTTP_504"].includes(error.code) && error.message === ""));

/** Understands the three forms of errors that the server has. */
export function errorOf(status: number, body: unknown, retryAfter = 0): ApiError {
  const outer = body !== null && typeof body === "object" ? (body as Record<string, unknown>) : {};
  const inner = outer["error"] !== null && typeof outer["error"] === "object" ? (outer["error"] as Record<string, unknown>) : outer;
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const message = text(inner["message"]) || text(outer["error"]);
  const details = Array.isArray(inner["details"])
    ? inner["details"].filter((d): d is FieldError => d !== null && typeof d === "object" && typeof d.field === "string" && typeof d.message === "string")
    : [];
  return new ApiError(status, text(inner["code"]) || `HTTP_${status}`, message, details, text(inner["requestId"]), retryAfter);
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly signal?: AbortSignal;
  /** A 401 is this call's own affair: it does not end the session. */
  readonly quiet401?: boolean;
  /** What whoever may watch may ask for: who is not signed in shows the token of the page, if there is one. */
  readonly watching?: boolean;
  readonly language?: string;
}

/** Calls a route and gives its answer; throws ApiError. */
export async function call<T = unknown>(path: string, options: Call = {}): Promise<T> {
  const url = new URL(path.replace(/^\//, ""), base());
  for (const [name, value] of Object.entries(options.query ?? {})) if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  const headers: Record<string, string> = { Accept: "application/json", "Accept-Language": document.documentElement.lang };
  const token = session.peek()?.token ?? (options.watching ? pageToken.peek() : "");
  if (token) headers["Authorization"] = `Bearer ${token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), 30_000);
  options.signal?.addEventListener("abort", () => timeout.abort());
  let status = 0;
  try {
    const answer = await fetch(url, {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      credentials: "same-origin", // the server reads no cookie, but a login of a proxy in front may live in one
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: timeout.signal,
    });
    status = answer.status;
    const text = await answer.text();
    let body: unknown = undefined;
    try {
      body = text === "" ? undefined : JSON.parse(text);
    } catch {
      if (answer.ok) throw new ApiError(status, "NO_JSON", "");
    }
    if (answer.ok) return body as T;
    if (status === 401 && token && !options.quiet401 && session.peek()?.token === token) signedOut("ended");
    throw errorOf(status, body, Number(answer.headers.get("Retry-After")) || 0);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (options.signal?.aborted) throw new ApiError(0, "ABORTED", "");
    throw new ApiError(status, "NO_ANSWER", "");
  } finally {
    clearTimeout(timer);
  }
}

export const get = <T>(path: string, query?: Call["query"]): Promise<T> => call<T>(path, query ? { query } : {});
export const post = <T>(path: string, body: unknown = {}): Promise<T> => call<T>(path, { method: "POST", body });
export const put = <T>(path: string, body: unknown): Promise<T> => call<T>(path, { method: "PUT", body });
export const del = <T>(path: string): Promise<T> => call<T>(path, { method: "DELETE" });
