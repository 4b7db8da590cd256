// SPDX-License-Identifier: ISC
// The past of one machine: what the server kept, and after it what came live. Times are Unix seconds, as uPlot wants them.
import { isNumber } from "../../format";
import type { Metrics } from "../../machines";
import { isUnit, type Unit } from "./charts";

export type Column = (number | null)[];

const LABELS = ["path", "name", "device"] as const;

/** Every number of a report under the name that the server gives its series: "cpu.percent", "cpu.per_core[0]", "disk.disks[/].used". */
export function flatten(metrics: Metrics): Map<string, number> {
  const out = new Map<string, number>();
  for (const [collector, group] of Object.entries(metrics)) {
    if (group === null || typeof group !== "object" || Array.isArray(group)) continue;
    for (const [metric, value] of Object.entries(group)) {
      if (isNumber(value)) out.set(`${collector}.${metric}`, value);
      if (!Array.isArray(value)) continue;
      value.slice(0, 512).forEach((item: unknown, i) => {
        if (isNumber(item)) out.set(`${collector}.${metric}[${i}]`, item);
        if (item === null || typeof item !== "object") return;
        const row = item as Record<string, unknown>;
        const label = LABELS.map((name) => row[name]).find((text) => typeof text === "string");
        if (label === undefined) return;
        for (const [field, number] of Object.entries(row)) if (isNumber(number)) out.set(`${collector}.${metric}[${label as string}].${field}`, number);
      });
    }
  }
  return out;
}

export interface Past {
  readonly t: readonly number[];
  readonly series: ReadonlyMap<string, Column>;
  /** How far back the server goes, in seconds; 0: it does not say. */
  readonly retention: number;
  /** Numbers of the newest report that the server keeps no past of. */
  readonly leftOut: number;
  /** Of the series, as far as it tells them. */
  readonly units?: ReadonlyMap<string, Unit>;
}

/** The server's answer; what it does not have is empty. `v` has a list for each series, with a value or null for each time. */
export function parsePast(answer: unknown): Past {
  const a = (answer !== null && typeof answer === "object" ? answer : {}) as { t?: unknown; v?: unknown; series?: unknown; retention_ms?: unknown; left_out?: unknown };
  const t = Array.isArray(a.t) ? a.t.filter(isNumber).map((ms) => ms / 1000) : [];
  const series = new Map<string, Column>();
  const units = new Map<string, Unit>();
  if (Array.isArray(a.series) && Array.isArray(a.v))
    a.series.forEach((entry: unknown, i) => {
      const { name, unit } = (entry ?? {}) as { name?: unknown; unit?: unknown };
      const values: unknown = (a.v as unknown[])[i];
      if (typeof name === "string" && Array.isArray(values)) series.set(name, t.map((_, at) => (isNumber(values[at]) ? values[at] : null)));
      if (typeof name === "string" && isUnit(unit)) units.set(name, unit);
    });
  return { t, series, retention: isNumber(a.retention_ms) ? a.retention_ms / 1000 : 0, leftOut: isNumber(a.left_out) ? a.left_out : 0, units };
}

/** How far apart values usually are: a quarter of the distances are no longer. Silences do not count, as long as they are few. */
function usual(list: number[]): number {
  return list.length < 2 ? 0 : list.sort((a, b) => a - b)[list.length >> 2]!;
}

/** Distances between values that follow each other, in t[from…to). */
function distances(t: readonly number[], column: Column, from: number, to: number): number[] {
  const list: number[] = [];
  let last = -1;
  for (let i = from; i < to; i++) {
    if (column[i] === null || column[i] === undefined) continue;
    if (last >= 0) list.push(t[i]! - t[last]!);
    last = i;
  }
  return list;
}

/** A shorter silence than this is none. */
const SILENCE = 15;

/**
 * A column to draw: rows without a value between two that are no further apart than the series usually is are no gap (undefined);
 * where a machine was silent for longer, they are one (null), and the line is interrupted.
 */
export function bridged(t: readonly number[], column: Column, split: number, breaks: ReadonlySet<number> = new Set()): (number | null | undefined)[] {
  const past = usual(distances(t, column, 0, split));
  const live = usual(distances(t, column, Math.max(split, t.length - 60), t.length));
  const limit = Math.max(SILENCE, 2.5 * past, 2.5 * live);
  const out: (number | null | undefined)[] = [...column];
  let last = -1;
  for (let i = 0; i < out.length; i++) {
    if (out[i] === null || out[i] === undefined) continue;
    const silent = breaks.size > 0 && t.slice(last + 1, i).some((at) => breaks.has(at));
    if (last >= 0 && i - last > 1 && !silent && t[i]! - t[last]! <= limit) out.fill(undefined, last + 1, i);
    last = i;
  }
  return out;
}

/** Rows whose value has no line on either side: they are drawn as points. */
export function lonely(column: readonly (number | null | undefined)[]): number[] {
  const rows = column.map((value, i) => (value === undefined ? -1 : i)).filter((i) => i >= 0);
  return rows.filter((i, at) => column[i] !== null && (column[rows[at - 1] ?? -1] ?? null) === null && (column[rows[at + 1] ?? -1] ?? null) === null);
}

/** The value at a row, or the last one in the minute before it. */
export function valueAt(t: readonly number[], column: Column, row: number): number | null {
  for (let i = row; i >= 0 && t[row]! - t[i]! <= 60; i--) {
    const value = column[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** The row whose time is nearest. */
export function rowAt(t: readonly number[], at: number): number {
  let low = 0;
  let high = t.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t[middle]! < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - t[low - 1]! < t[low]! - at ? low - 1 : low;
}

/**
 * Where rows that are drawn as one begin. Rows from `split` on that lie in the same step of time are one; a silence is always a row of its own.
 */
export function steps(t: readonly number[], split: number, step: number, breaks: ReadonlySet<number> = new Set()): number[] {
  const starts: number[] = [];
  for (let i = 0; i < t.length; i++) {
    const together = i > split && step > 0 && Math.floor(t[i]! / step) === Math.floor(t[i - 1]! / step) && !breaks.has(t[i]!) && !breaks.has(t[i - 1]!);
    if (!together) starts.push(i);
  }
  return starts;
}

/** From this span on, in seconds, live points are drawn like those of the past. */
const LONG = 1800;

/** More live points than this are not kept: the server has the past, and is asked again. */
const KEPT = 4000;
/** So many are dropped at a time: each time all columns are copied. */
const SLACK = 500;
/** A machine whose figures have other names each time does not fill an open page. */
const MOST_COLUMNS = 1000;

export class History {
  private t: number[] = [];
  private columns = new Map<string, Column>();
  private liveFrom = 0; // index of the first live point
  private breaks = new Set<number>(); // times of live silences
  /** Of the series, as the server told them last. */
  units: ReadonlyMap<string, Unit> = new Map();
  private kept: ReadonlySet<string> | null = null; // names of the series that have a past, where not all have one

  get times(): readonly number[] {
    return this.t;
  }

  names(): string[] {
    return [...this.columns.keys()];
  }

  /** The server has a past of the machine, but keeps none of this series. */
  isLeftOut(name: string): boolean {
    return this.kept !== null && !this.kept.has(name);
  }

  column(name: string): Column {
    return this.columns.get(name) ?? new Array<null>(this.t.length).fill(null);
  }

  /** As uPlot wants it: times and a list for each series. Over a long span, live points are no closer together than those of the past, or than pixels. */
  drawn(names: readonly string[], span: number, pixels: number): [number[], ...(number | null | undefined)[][]] {
    const past = this.liveFrom > 2 ? usual(this.t.slice(1, this.liveFrom).map((at, i) => at - this.t[i]!)) : 0;
    const step = span < LONG ? span / Math.max(1, pixels) : Math.max(Math.min(past, span / 60), span / Math.max(1, pixels));
    const starts = steps(this.t, this.liveFrom, step, this.breaks);
    const last = (n: number): number => (starts[n + 1] ?? this.t.length) - 1;
    const t = starts.map((_, n) => this.t[last(n)]!);
    return [t, ...names.map((name) => {
      const column = this.column(name);
      const means = starts.map((from, n) => {
        const to = last(n);
        if (to === from) return column[from] ?? null;
        let sum = 0;
        let count = 0;
        for (let i = from; i <= to; i++) {
          const value = column[i];
          if (value === null || value === undefined) continue;
          sum += value;
          count++;
        }
        return count > 0 ? sum / count : null;
      });
      return bridged(t, means, this.liveFrom, this.breaks);
    })];
  }

  /** At a time; without one, the newest. */
  value(name: string, at: number | null): number | null {
    return valueAt(this.t, this.columns.get(name) ?? [], at === null ? this.t.length - 1 : rowAt(this.t, at));
  }

  /** The server's past takes the place of what was there; live points that are newer stay. */
  load(past: Past): void {
    const last = past.t[past.t.length - 1] ?? -Infinity;
    let keep = this.liveFrom;
    while (keep < this.t.length && this.t[keep]! <= last) keep++;
    const tail = this.t.slice(keep);
    const hole = past.t.length > 0 && tail.length > 0 && tail[0]! - last > Math.max(60, 3 * usual(distances(past.t, past.t as Column, 0, past.t.length)));
    if (hole) {
      // An old part of the past is shown: nothing is known of what lies between it and now.
      this.breaks.add((last + tail[0]!) / 2);
      tail.unshift((last + tail[0]!) / 2);
    }
    const columns = new Map<string, Column>();
    for (const name of new Set([...past.series.keys(), ...this.columns.keys()])) {
      const head = past.series.get(name) ?? new Array<null>(past.t.length).fill(null);
      const known = this.columns.get(name)?.slice(keep);
      columns.set(name, [...head, ...(known ? [...(hole ? [null] : []), ...known] : new Array<null>(tail.length).fill(null))]);
    }
    this.t = [...past.t, ...tail];
    this.columns = columns;
    this.liveFrom = past.t.length;
    this.units = past.units ?? this.units;
    this.kept = past.leftOut > 0 && past.t.length > 1 ? new Set(past.series.keys()) : null;
  }

  /** A live point. After a silence of more than gap seconds the line is interrupted. */
  add(at: number, values: ReadonlyMap<string, number>, gap: number): void {
    const last = this.t[this.t.length - 1];
    if (last !== undefined && at <= last) return; // a clock that was set back, or the same report again
    if (last !== undefined && at - last > gap) {
      this.breaks.add((last + at) / 2);
      this.push((last + at) / 2, new Map());
    }
    this.push(at, values);
    if (this.t.length - this.liveFrom > KEPT + SLACK) this.drop(this.t.length - this.liveFrom - KEPT);
  }

  private push(at: number, values: ReadonlyMap<string, number>): void {
    for (const [name, column] of this.columns) column.push(values.get(name) ?? null);
    for (const [name, value] of values)
      if (!this.columns.has(name) && this.columns.size < MOST_COLUMNS) {
        const column = new Array<number | null>(this.t.length).fill(null);
        column.push(value);
        this.columns.set(name, column);
      }
    this.t.push(at);
  }

  /** The oldest live points go; what the server gave stays, and what lies between is a gap. */
  private drop(count: number): void {
    const from = this.liveFrom;
    const first = this.t[from + count]!;
    const hole = from > 0 ? [(this.t[from - 1]! + first) / 2] : [];
    for (const at of this.t.slice(from, from + count)) this.breaks.delete(at);
    for (const at of hole) this.breaks.add(at);
    this.t = [...this.t.slice(0, from), ...hole, ...this.t.slice(from + count)];
    for (const [name, column] of this.columns) this.columns.set(name, [...column.slice(0, from), ...hole.map(() => null), ...column.slice(from + count)]);
  }
}
