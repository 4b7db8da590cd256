// SPDX-License-Identifier: ISC
// What this server has: asked for once at the start, and again after each reconnection.
import { signal } from "@preact/signals";
import { call } from "./api";

export interface Site {
  readonly name: string;
  readonly version: string;
  /** Who may see the machines: everybody, whoever has the token of the page, whoever is signed in. */
  readonly status: "open" | "token" | "login";
  /** Somebody here judges passwords. */
  readonly login: boolean;
  readonly pages: { readonly status: boolean; readonly relay: boolean; readonly accounts: boolean; readonly join: boolean; readonly plugins: boolean; readonly history: "store" | "ring" | "" };
  /** Page → plugin that is to be added for it. */
  readonly missing: Readonly<Record<string, string>>;
  readonly agentUrl: string;
}

const flag = (value: unknown): boolean => value === true;
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const record = (value: unknown): Record<string, unknown> => (value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {});

export function parseSite(answer: unknown): Site {
  const a = record(answer);
  const pages = record(a["pages"]);
  const history = text(pages["history"]);
  return {
    name: text(a["name"]),
    version: text(a["version"]),
    status: a["status"] === "token" || a["status"] === "login" ? a["status"] : "open",
    login: flag(a["login"]),
    pages: {
      status: pages["status"] !== false,
      relay: flag(pages["relay"]),
      accounts: flag(pages["accounts"]),
      join: flag(pages["join"]),
      plugins: flag(pages["plugins"]),
      history: history === "store" || history === "ring" ? history : "",
    },
    missing: Object.fromEntries(Object.entries(record(a["missing"])).filter((e): e is [string, string] => typeof e[1] === "string")),
    agentUrl: text(a["agent_url"]),
  };
}

export const site = signal<Site>(parseSite({}));
/** The first answer is here: before it, pages do not say that something is missing. */
export const siteKnown = signal(false);

export async function loadSite(): Promise<void> {
  try {
    site.value = parseSite(await call("/api/console/site", { quiet401: true }));
    siteKnown.value = true;
  } catch {
    // The live channel tells that the server is away; what was known stays.
  }
}
