// SPDX-License-Identifier: ISC
// The past of one machine: what the server kept, and after it what came live. Times are Unix seconds, as uPlot wants them.
import { isNumber } from "../../format";
import type { Metrics } from "../../machines";

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
}

/** The server's answer; what it does not have is empty. `v` has a list for each series, with a value or null for each time. */
export function parsePast(answer: unknown): Past {
  const a = (answer !== null && typeof answer === "object" ? answer : {}) as { t?: unknown; v?: unknown; series?: unknown; retention_ms?: unknown };
  const t = Array.isArray(a.t) ? a.t.filter(isNumber).map((ms) => ms / 1000) : [];
  const series = new Map<string, Column>();
  if (Array.isArray(a.series) && Array.isArray(a.v))
    a.series.forEach((entry: unknown, i) => {
      const name = (entry as { name?: unknown } | null)?.name;
      const values: unknown = (a.v as unknown[])[i];
      if (typeof name === "string" && Array.isArray(values)) series.set(name, t.map((_, at) => (isNumber(values[at]) ? values[at] : null)));
    });
  return { t, series, retention: isNumber(a.retention_ms) ? a.retention_ms / 1000 : 0 };
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

/** More live points than this are not kept: the server has the past, and is asked again. */
const KEPT = 4000;

export class History {
  private t: number[] = [];
  private columns = new Map<string, Column>();
  private liveFrom = 0; // index of the first live point
  private breaks = new Set<number>(); // times of live silences

  get times(): readonly number[] {
    return this.t;
  }

  names(): string[] {
    return [...this.columns.keys()];
  }

  /** Whether a series has anything to draw. */
  has(name: string): boolean {
    return this.columns.has(name);
  }

  column(name: string): Column {
    return this.columns.get(name) ?? new Array<null>(this.t.length).fill(null);
  }

  /** As uPlot wants a series. */
  drawn(name: string): (number | null | undefined)[] {
    return bridged(this.t, this.column(name), this.liveFrom, this.breaks);
  }

  /** Of a row; without one, of the newest. */
  value(name: string, row: number | null): number | null {
    return valueAt(this.t, this.columns.get(name) ?? [], row ?? this.t.length - 1);
  }

  /** The server's past takes the place of what was there; live points that are newer stay. */
  load(past: Past): void {
    const last = past.t[past.t.length - 1] ?? -Infinity;
    let keep = this.liveFrom;
    while (keep < this.t.length && this.t[keep]! <= last) keep++;
    const tail = this.t.slice(keep);
    const columns = new Map<string, Column>();
    for (const name of new Set([...past.series.keys(), ...this.columns.keys()])) {
      const head = past.series.get(name) ?? new Array<null>(past.t.length).fill(null);
      columns.set(name, [...head, ...(this.columns.get(name)?.slice(keep) ?? new Array<null>(tail.length).fill(null))]);
    }
    this.t = [...past.t, ...tail];
    this.columns = columns;
    this.liveFrom = past.t.length;
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
    if (this.t.length - this.liveFrom > KEPT) this.drop(this.t.length - KEPT);
  }

  private push(at: number, values: ReadonlyMap<string, number>): void {
    for (const [name, column] of this.columns) column.push(values.get(name) ?? null);
    for (const [name, value] of values)
      if (!this.columns.has(name)) {
        const column = new Array<number | null>(this.t.length).fill(null);
        column.push(value);
        this.columns.set(name, column);
      }
    this.t.push(at);
  }

  private drop(count: number): void {
    this.t = this.t.slice(count);
    for (const at of this.breaks) if (at < (this.t[0] ?? 0)) this.breaks.delete(at);
    for (const [name, column] of this.columns) this.columns.set(name, column.slice(count));
    this.liveFrom = Math.max(0, this.liveFrom - count);
  }
}
