// SPDX-License-Identifier: ISC
// Addresses are behind the "#": the server has one page, and nothing of them reaches it or its logs.
import { computed, signal } from "@preact/signals";

export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
}

export function parsePlace(hash: string): Place {
  const text = hash.replace(/^#/, "");
  const cut = text.indexOf("?");
  const path = `/${(cut < 0 ? text : text.slice(0, cut)).replace(/^\/+|\/+$/g, "")}`;
  return { path, query: new URLSearchParams(cut < 0 ? "" : text.slice(cut + 1)) };
}

export type Params = Readonly<Record<string, string>>;

/** "/machine/:id" against "/machine/a%20b" → {id: "a b"}; null: another path. */
export function match(pattern: string, path: string): Params | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (let i = 0; i < wanted.length; i++) {
    const want = wanted[i]!;
    const part = given[i]!;
    if (want.startsWith(":")) {
      if (part === "") return null;
      try {
        params[want.slice(1)] = decodeURIComponent(part);
      } catch {
        return null;
      }
    } else if (want !== part) return null;
  }
  return params;
}

const hash = signal(typeof location === "undefined" ? "" : location.hash);
/** Hears of another address while the page that is left is still there to be looked at. */
export const leaving = new Set<(from: string) => void>();
if (typeof window !== "undefined")
  window.addEventListener("hashchange", ({ oldURL }) => {
    for (const hear of leaving) hear(new URL(oldURL).hash || "#/");
    hash.value = location.hash;
  });

export const place = computed<Place>(() => parsePlace(hash.value));

/** Address of a path within the console, for href. */
export function href(path: string, query?: Readonly<Record<string, string>>): string {
  const tail = query && Object.keys(query).length > 0 ? `?${new URLSearchParams(query)}` : "";
  return `#${path}${tail}`;
}

export function go(path: string, options: { query?: Readonly<Record<string, string>>; replace?: boolean } = {}): void {
  const to = href(path, options.query);
  if (options.replace) {
    history.replaceState(history.state, "", to);
    hash.value = to;
  } else location.hash = to;
}
