// SPDX-License-Identifier: ISC
// What is loaded, as the console's API tells; no DOM.
import { dash, isNumber } from "../../format";
import { finds, member, rowsOf } from "../parts/logic";

export interface Callback {
  readonly name: string;
  readonly calls: number;
  readonly errors: number;
  readonly totalMs: number;
  readonly p99: number; // microseconds
  readonly max: number;
}

export interface Instance {
  readonly instance: string;
  readonly plugin: string;
  readonly version: string;
  readonly summary: string;
  readonly licence: string;
  readonly kind: string;
  readonly state: string;
  readonly file: string;
  readonly provides: readonly string[];
  readonly needs: readonly string[];
  readonly wants: readonly string[];
  readonly callbacks: readonly Callback[];
  readonly counters: readonly (readonly [string, number])[];
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const figure = (value: unknown): number => (isNumber(value) ? value : 0);
const names = (value: unknown): string[] => (Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : []);

/** An array, or an object with it in `plugins` or `data`; null: something else. */
export function instancesOf(answer: unknown): Instance[] | null {
  const data = member(answer, "data");
  const rows = rowsOf(answer) ?? rowsOf(member(answer, "plugins")) ?? rowsOf(data) ?? rowsOf(member(data, "plugins"));
  return (
    rows?.map((row) => ({
      instance: text(row["instance"]),
      plugin: text(row["plugin"]),
      version: text(row["version"]),
      summary: text(row["summary"]),
      licence: text(row["licence"]),
      kind: text(row["kind"]),
      state: text(row["state"]),
      file: text(row["file"]),
      provides: names(row["provides"]),
      needs: names(row["needs"]),
      wants: names(row["wants"]),
      callbacks: (rowsOf(row["callbacks"]) ?? []).map((c) => ({
        name: text(c["name"]),
        calls: figure(c["calls"]),
        errors: figure(c["errors"]),
        totalMs: figure(c["total_ms"]),
        p99: figure(c["p99_us"]),
        max: figure(c["max_us"]),
      })),
      counters: Object.entries((member(row, "counters") as Record<string, unknown> | null | undefined) ?? {}).filter((c): c is [string, number] => isNumber(c[1])),
    })) ?? null
  );
}

export interface Total {
  readonly calls: number;
  readonly errors: number;
  readonly p99: number | null;
}

/** Called once or so in an instance's life, or on a thread of its own: how long they take holds nobody up. */
const aside = ["init", "start", "reconfigure", "stop", "fini", "job"];

/** Of all callbacks: the sums, and the slowest p99 of those that the others wait for. */
export function total(instance: Instance): Total {
  const called = instance.callbacks.filter((c) => c.calls > 0);
  const often = called.filter((c) => !aside.includes(c.name));
  return {
    calls: called.reduce((n, c) => n + c.calls, 0),
    errors: called.reduce((n, c) => n + c.errors, 0),
    p99: often.length > 0 ? Math.max(...often.map((c) => c.p99)) : null,
  };
}

/** < 1 µs · 0.4 µs · 12 µs · 3.1 ms · 1.20 s */
export function micros(value: number | null): string {
  if (!isNumber(value) || value < 0) return dash;
  if (value === 0) return "< 1 µs";
  if (value < 9.95) return `${value.toFixed(1)} µs`;
  if (value < 999.5) return `${Math.round(value)} µs`;
  if (value < 999_500) return `${(value / 1000).toFixed(value < 99_500 ? 1 : 0)} ms`;
  return `${(value / 1e6).toFixed(2)} s`;
}

// ---- configuration ----

export interface Section {
  readonly name: string;
  readonly plugin: string;
  readonly config: unknown;
}

/** The program's options and those of each instance. */
export function sectionsOf(answer: unknown): Section[] {
  const config = member(answer, "data") ?? answer;
  const program = member(config, "program");
  const plugins = rowsOf(member(config, "plugins")) ?? [];
  return [
    ...(program !== undefined ? [{ name: "", plugin: "", config: program }] : []),
    ...plugins.map((row) => ({ name: text(row["instance"]), plugin: text(row["plugin"]), config: row["config"] ?? {} })),
  ];
}

export const hidden = "(hidden)";

export type Option = { readonly path: string; readonly value: string; readonly kind: "secret" | "unset" | "empty" | "text" | "plain" };

/** Lists of groups are shown entry by entry, everything else one a line. */
export interface Entries {
  readonly path: string;
  readonly entries: readonly { readonly path: string; readonly options: readonly Option[] }[];
}

const isGroup = (value: unknown): boolean => value !== null && typeof value === "object";

/** The options of a part of the configuration: single ones, and lists of groups wherever they are. */
export function grouped(config: unknown): { options: Option[]; lists: Entries[] } {
  const options: Option[] = [];
  const lists: Entries[] = [];
  const walk = (value: unknown, path: string): void => {
    if (Array.isArray(value) && value.some(isGroup)) lists.push({ path, entries: value.map((each, i) => ({ path: `${path}[${i}]`, options: flat(each) })) });
    else if (isGroup(value) && !Array.isArray(value) && Object.keys(value as object).length > 0) for (const [name, each] of Object.entries(value as object)) walk(each, path ? `${path}.${name}` : name);
    else if (path) options.push(...flat(value, path));
  };
  walk(config, "");
  return { options, lists };
}

/** What is left of a section: options that are set, or all; those that a search finds, by where they stand and what they are. */
export function filtered(section: Section, search: string, unset: boolean): { options: Option[]; lists: Entries[] } {
  const all = grouped(section.config);
  // Who looks for an option by its name wants to see it, set or not.
  const wanted = (option: Option): boolean => (search.trim() ? finds(search, section.name || "server", section.plugin, option.path, option.kind === "secret" ? "" : option.value) : unset || option.kind !== "unset");
  // An entry is one thing: it is found as a whole, in any of its options.
  const entry = (list: Entries) =>
    list.entries
      .map(({ path, options }) => ({ path, options: options.filter((o) => unset || o.kind !== "unset"), text: options.map((o) => `${o.path} ${o.kind === "secret" ? "" : o.value}`).join(" ") }))
      .filter(({ path, text: said }) => finds(search, `${section.name || "server"} ${section.plugin} ${path} ${said}`))
      .map(({ path, options }) => ({ path, options }));
  return { options: all.options.filter(wanted), lists: all.lists.map((list) => ({ path: list.path, entries: entry(list) })).filter((list) => list.entries.length > 0) };
}

/** Options one a line: nested ones as "tls.key", those in lists as "listen[0].port". */
export function flat(value: unknown, path = ""): Option[] {
  if (Array.isArray(value)) {
    if (value.length === 0) return [{ path, value: "", kind: "empty" }];
    if (value.every((each) => each === null || typeof each !== "object")) return [{ path, value: value.map(String).join(", "), kind: value.includes(hidden) ? "secret" : "text" }];
    return value.flatMap((each, i) => flat(each, `${path}[${i}]`));
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    if (entries.length === 0 && path) return [{ path, value: "", kind: "empty" }];
    return entries.flatMap(([name, each]) => flat(each, path ? `${path}.${name}` : name));
  }
  if (value === null || value === undefined) return [{ path, value: "", kind: "unset" }];
  if (value === hidden) return [{ path, value: hidden, kind: "secret" }];
  if (value === "") return [{ path, value: "", kind: "empty" }];
  return [{ path, value: String(value), kind: typeof value === "string" ? "text" : "plain" }];
}
