// SPDX-License-Identifier: ISC
// Which charts a machine has, by the names of its series. A collector that nobody knows here gets charts as well.
import { words } from "../../format";

export type Unit = "%" | "B" | "B/s" | "°C" | "s" | "";

export interface ChartLine {
  readonly name: string; // of the series
  readonly label: string; // key of words.ts, or a text as it is
  readonly word: boolean;
}

export interface ChartSpec {
  readonly id: string;
  readonly title: string;
  readonly word: boolean;
  readonly unit: Unit;
  /** Which of many lines these are, counted from 1: the others have charts of their own. */
  readonly part?: readonly [number, number];
  /** The scale ends here even when no value reaches it. */
  readonly max?: number;
  readonly lines: readonly ChartLine[];
  /** Collector, for those that have no place of their own. */
  readonly of?: string;
}

export interface Name {
  readonly collector: string;
  readonly metric: string;
  readonly label: string | null;
  readonly field: string;
}

/** "disk.disks[/a.b].used" → disk, disks, "/a.b", used */
export function parseName(name: string): Name | null {
  const found = /^([^.[\]]+)\.([^.[\]]+)(?:\[(.*)\])?(?:\.([^.[\]]+))?$/s.exec(name);
  return found ? { collector: found[1]!, metric: found[2]!, label: found[3] ?? null, field: found[4] ?? "" } : null;
}

export const isUnit = (text: unknown): text is Unit => ["%", "B", "B/s", "°C", "s", ""].includes(text as string);

/** As the server tells units (plugins/console/ring.c), for a series that it has not told of yet. */
export function unitOf(name: string): Unit {
  if (/percent$/.test(name)) return "%";
  if (/_speed$/.test(name)) return "B/s";
  if (/(\.(used|free|available|swap_used|swap_free)|_bytes)$/.test(name)) return "B";
  if (/\.celsius$/.test(name)) return "°C";
  if (/_seconds$/.test(name)) return "s";
  return name.includes(".per_core[") ? "%" : "";
}

/** Lines of one chart, each of a colour of its own. More of them are several charts. */
export const COLOURS = 8;
/** Charts of one list of lines, and of all collectors that nobody knows here: the others come when they are asked for. */
const MOST_CHARTS = 48;
const natural = new Intl.Collator(undefined, { numeric: true });
const known = new Set(["cpu", "memory", "disk", "network", "system", "agent"]);

/** What there is to draw. mostKnown, mostOthers: of the lists that the page knows, and of all collectors that it does not. */
export function charts(names: readonly string[], units: ReadonlyMap<string, Unit> = new Map(), mostKnown = MOST_CHARTS, mostOthers = MOST_CHARTS): ChartSpec[] {
  const there = new Set(names);
  const parsed = names.map((name) => ({ name, parts: parseName(name) })).filter((n): n is { name: string; parts: Name } => n.parts !== null);
  const list: ChartSpec[] = [];
  const add = (spec: ChartSpec, most = mostKnown) => {
    const all = spec.lines.length;
    for (let from = 0, n = 1; from < all && n <= most; from += COLOURS, n++) {
      const lines = spec.lines.slice(from, from + COLOURS);
      list.push({ ...spec, ...(spec.unit === "%" ? { max: 100 } : {}), lines, ...(all > COLOURS ? { part: [from + 1, from + lines.length] as const } : {}), ...(n > 1 ? { id: `${spec.id} ${n}` } : {}) });
    }
  };
  const fixed = (...pairs: readonly (readonly [string, string])[]): ChartLine[] => pairs.filter(([name]) => there.has(name)).map(([name, label]) => ({ name, label, word: true }));
  const rows = (collector: string, metric: string, field: string): ChartLine[] =>
    parsed
      .filter(({ parts: p }) => p.collector === collector && p.metric === metric && p.label !== null && p.field === field)
      .sort((a, b) => natural.compare(a.parts.label!, b.parts.label!))
      .map(({ name, parts }) => ({ name, label: parts.label!, word: false }));

  add({ id: "cpu", title: "cpu", word: true, unit: "%", lines: fixed(["cpu.percent", "cpu"]) });
  add({ id: "memory", title: "memory", word: true, unit: "%", lines: fixed(["memory.used_percent", "memory"], ["memory.swap_used_percent", "swap"]) });
  add({ id: "network", title: "network", word: true, unit: "B/s", lines: fixed(["network.rx_speed", "received"], ["network.tx_speed", "sent"]) });
  const read = rows("disk", "disks", "read_speed");
  const write = rows("disk", "disks", "write_speed");
  if (read.length <= 1 && write.length <= 1)
    add({ id: "io", title: "io", word: true, unit: "B/s", lines: [...read.map((l) => ({ ...l, label: "read", word: true })), ...write.map((l) => ({ ...l, label: "write", word: true }))] });
  else {
    add({ id: "read", title: "readBy", word: true, unit: "B/s", lines: read });
    add({ id: "write", title: "writeBy", word: true, unit: "B/s", lines: write });
  }
  add({ id: "load", title: "load", word: true, unit: "", lines: fixed(["cpu.load1", "load1"], ["cpu.load5", "load5"], ["cpu.load15", "load15"]) });
  const disks = rows("disk", "disks", "used_percent");
  add({ id: "disk", title: "diskUse", word: true, unit: "%", lines: disksWith(disks, fixed(["disk.used_percent", "disk"])) });
  const rx = rows("network", "interfaces", "rx_speed");
  const tx = rows("network", "interfaces", "tx_speed");
  if (rx.length > 1) add({ id: "rx", title: "receivedBy", word: true, unit: "B/s", lines: rx });
  if (tx.length > 1) add({ id: "tx", title: "sentBy", word: true, unit: "B/s", lines: tx });
  add({ id: "temperatures", title: "temperatures", word: true, unit: "°C", lines: rows("system", "temperatures", "celsius") });
  const cores = rows("cpu", "per_core", "");
  if (cores.length > 1) add({ id: "cores", title: "perCore", word: true, unit: "%", lines: cores });

  // Others: single numbers and lists get a chart each, rows one for each of their fields.
  const others = new Map<string, { of: string; title: string; lines: ChartLine[] }>();
  for (const { name, parts: p } of parsed) {
    if (known.has(p.collector)) continue;
    const id = `${p.collector}.${p.metric}${p.label === null ? "" : `[].${p.field}`}`;
    const chart = others.get(id) ?? { of: p.collector, title: p.field ? `${words(p.metric)}: ${words(p.field)}` : words(p.metric), lines: [] };
    chart.lines.push({ name, label: p.label ?? words(p.metric), word: false });
    others.set(id, chart);
  }
  const shown = [...others].sort(([a], [b]) => natural.compare(a, b)).slice(0, mostOthers);
  let room = mostOthers - shown.length; // each has its first chart before any has its second
  for (const [id, { of, title, lines }] of shown) {
    const more = Math.min(room, Math.ceil(lines.length / COLOURS) - 1);
    room -= more;
    const first = lines[0]!.name;
    add({ id, of, title, word: false, unit: units.get(first) ?? unitOf(first), lines }, 1 + more);
  }
  return list;
}

/** All disks together have a past on every server, single ones have not: one disk alone is drawn by it, under its own name. */
function disksWith(disks: readonly ChartLine[], all: readonly ChartLine[]): ChartLine[] {
  if (disks.length === 1 && all.length === 1) return [{ ...disks[0]!, name: all[0]!.name }];
  return [...all, ...disks];
}

/** Marks of a scale: in sizes, steps of 1024 read better than those of 1000. */
export const byteSteps: number[] = Array.from({ length: 6 }, (_, k) => [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((n) => n * 1024 ** k)).flat();

/** In times, steps are those of clocks. */
export const timeSteps: number[] = [
  ...[0.001, 0.01, 0.1].flatMap((n) => [n, 2 * n, 5 * n]),
  ...[1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200],
  ...[1, 10, 100, 1000, 10000].flatMap((n) => [n, 2 * n, 5 * n].map((days) => days * 86400)),
];

// ---- spans ----

export const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

const RING = [5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR];
const STORE = [5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY];

/** What can be chosen, in seconds, up to the first span that shows all there is. retention 0: not known yet. */
export function spans(history: "store" | "ring" | "", retention: number): readonly number[] {
  if (history !== "store") return RING;
  const most = retention || DAY;
  const enough = STORE.findIndex((span) => span >= most);
  return enough < 0 ? STORE : STORE.slice(0, Math.max(3, enough + 1));
}

/** A span that was remembered, maybe of another server: as long as nobody knows how far the past goes, any there is may be right. */
export function allowed(wished: number, history: "store" | "ring" | "", retention: number): number {
  const choices = spans(history, retention);
  const all = history === "store" && retention === 0 ? STORE : choices;
  return all.includes(wished) ? wished : choices[choices.length - 1]!;
}

/** From here on a scale ends where it may: what is twice as far cannot be reckoned with. */
export const FARTHEST = 8e307;
/** The end of a scale: what it ends at by itself, unless a value is above it. */
export const scaleEnd = (max: number | undefined, high: number): number => (max !== undefined && high <= max ? max : high > 0 ? Math.min(FARTHEST, high * 1.08) : 1);

/**
 * A range of time, zoomed about its middle or moved by parts of itself: never into the future, never below ten seconds,
 * and never out of what is kept (seconds before now; 0: not known).
 */
export function zoomed([from, to]: readonly [number, number], by: { factor?: number; shift?: number }, now: number, kept = 0): [number, number] {
  const most = kept > 0 ? Math.max(10, kept) : Infinity;
  const width = Math.min(most, Math.max(10, (to - from) * (by.factor ?? 1)));
  const middle = (from + to) / 2 + (to - from) * (by.shift ?? 0);
  const end = Math.max(now - most + width, Math.min(now, middle + width / 2));
  return [end - width, end];
}
