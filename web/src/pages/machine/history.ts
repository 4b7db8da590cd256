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
}

/** The server's answer; what it does not have is empty. `v` has a list for each series, with a value or null for each time. */
export function parsePast(answer: unknown): Past {
  const a = (answer !== null && typeof answer === "object" ? answer : {}) as { t?: unknown; v?: unknown; series?: unknown };
  const t = Array.isArray(a.t) ? a.t.filter(isNumber).map((ms) => ms / 1000) : [];
  const series = new Map<string, Column>();
  if (Array.isArray(a.series) && Array.isArray(a.v))
    a.series.forEach((entry: unknown, i) => {
      const name = (entry as { name?: unknown } | null)?.name;
      const values: unknown = (a.v as unknown[])[i];
      if (typeof name === "string" && Array.isArray(values)) series.set(name, t.map((_, at) => (isNumber(values[at]) ? values[at] : null)));
    });
  return { t, series };
}

/** More live points than this are not kept: the server has the past, and is asked again. */
const KEPT = 4000;

export class History {
  private t: number[] = [];
  private columns = new Map<string, Column>();
  private liveFrom = 0; // index of the first live point

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
    if (last !== undefined && at - last > gap) this.push((last + at) / 2, new Map());
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
    for (const [name, column] of this.columns) this.columns.set(name, column.slice(count));
    this.liveFrom = Math.max(0, this.liveFrom - count);
  }
}
