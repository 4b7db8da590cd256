// SPDX-License-Identifier: ISC
// The machines as the live channel tells them. A change touches the signal of its own machine and nothing else.
import { batch, signal, type Signal } from "@preact/signals";

export type Metrics = Readonly<Record<string, unknown>>;

export interface Machine {
  readonly key: string;
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly country: string;
  readonly location: string;
  readonly owner: string;
  readonly online: boolean;
  readonly lastSeen: number; // Unix ms, 0: never
  readonly metrics: Metrics;
}

export interface Row {
  readonly key: string;
  readonly data: Signal<Machine>;
}

export interface LiveMessage {
  readonly type: string;
  readonly [member: string]: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === "object" && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** A machine out of whatever came: members of another kind than expected are as if they were not there. */
export function toMachine(value: Record<string, unknown>): Machine {
  return {
    key: String(value["key"] ?? ""),
    id: text(value["id"]),
    name: text(value["name"]),
    group: text(value["group"]),
    country: text(value["country"]),
    location: text(value["location"]),
    owner: text(value["owner"]),
    online: value["online"] === true,
    lastSeen: typeof value["lastSeen"] === "number" && Number.isFinite(value["lastSeen"]) ? value["lastSeen"] : 0,
    metrics: isObject(value["metrics"]) ? value["metrics"] : {},
  };
}

/** A machine, its metrics, a collector: below that, values are replaced whole. */
const DEPTH = 2;

/** Objects are merged, null takes a member away, everything else replaces. What did not change stays the same object. */
export function merged<T>(old: T, change: unknown, depth = DEPTH): T {
  if (!isObject(change)) return change as T;
  const result: Record<string, unknown> = isObject(old) ? { ...old } : {};
  for (const key of Object.keys(change)) {
    const value = change[key];
    if (value === null) delete result[key];
    else {
      const next = isObject(value) && depth > 0 ? merged(Object.prototype.hasOwnProperty.call(result, key) ? result[key] : undefined, value, depth - 1) : value;
      if (key === "__proto__") Object.defineProperty(result, key, { value: next, enumerable: true, configurable: true, writable: true });
      else result[key] = next;
    }
  }
  return result as T;
}

export const titleOf = (machine: Machine): string => machine.name || machine.id;

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
/** By group, name, id; what compares equal in people's eyes is still always in the same order. */
export function byPlace(a: Machine, b: Machine): number {
  return (
    collator.compare(a.group, b.group) ||
    (a.group < b.group ? -1 : a.group > b.group ? 1 : 0) || // groups that differ in case only stay apart
    collator.compare(titleOf(a), titleOf(b)) ||
    collator.compare(a.id, b.id) ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0) ||
    (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
  );
}

/** All words of the search, each somewhere in what people call a machine. */
export function matches(machine: Machine, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const where = `${machine.name}\n${machine.id}\n${machine.group}\n${machine.location}\n${machine.country}\n${machine.owner}`.toLowerCase();
  return words.every((word) => where.includes(word));
}

export class Machines {
  private readonly rows = new Map<string, Row>();
  private seen: Set<string> | null = null; // while a snapshot comes in
  /** Sorted; a new array only when a machine came, went, or moved. */
  readonly order = signal<readonly Row[]>([]);
  readonly online = signal(0);
  /** Counts turns from online to offline and back. */
  readonly turns = signal(0);
  /** The first snapshot is complete. */
  readonly settled = signal(false);
  /** What a page wants to hear of: each change, with the server's time (0: not told) and what was known before. */
  readonly listeners = new Set<(machine: Machine, at: number, old: Machine | null) => void>();

  get(key: string): Row | undefined {
    return this.rows.get(key);
  }

  /** Applies messages in their order, and tells everybody once. */
  take(messages: readonly LiveMessage[]): void {
    batch(() => {
      let moved = false;
      for (const message of messages) moved = this.one(message) || moved;
      if (this.seen === null && moved) this.arrange();
    });
  }

  /** As at the beginning. */
  clear(): void {
    batch(() => {
      this.rows.clear();
      this.seen = null;
      this.order.value = [];
      this.online.value = 0;
      this.settled.value = false;
    });
  }

  private one(message: LiveMessage): boolean {
    const key = String(message["key"] ?? "");
    switch (message.type) {
      case "hello":
        this.seen = new Set();
        return false;
      case "machine":
        return key !== "" && this.put(key, toMachine(message), Number(message["t"]) || 0);
      case "change": {
        const row = this.rows.get(key);
        if (!row || !isObject(message["m"])) return false;
        return this.put(key, toMachine({ ...merged(row.data.peek() as object, message["m"]), key }), Number(message["t"]) || 0);
      }
      case "gone":
        return this.rows.delete(key);
      case "ready": {
        const seen = this.seen;
        this.seen = null;
        for (const known of this.rows.keys()) if (seen && !seen.has(known)) this.rows.delete(known);
        this.arrange();
        this.settled.value = true;
        return false;
      }
      default:
        return false; // of a newer server
    }
  }

  private put(key: string, machine: Machine, at: number): boolean {
    this.seen?.add(key);
    const row = this.rows.get(key);
    if (!row) {
      this.rows.set(key, { key, data: signal(machine) });
      this.tell(machine, at, null);
      return true;
    }
    const old = row.data.peek();
    row.data.value = machine;
    if (old.online !== machine.online) {
      this.turns.value++;
      if (this.seen === null) this.online.value += machine.online ? 1 : -1;
    }
    this.tell(machine, at, old);
    return (old.name !== machine.name || old.group !== machine.group || old.id !== machine.id) && byPlace(old, machine) !== 0;
  }

  private tell(machine: Machine, at: number, old: Machine | null): void {
    for (const listener of this.listeners) listener(machine, at, old);
  }

  private arrange(): void {
    const list = [...this.rows.values()].sort((a, b) => byPlace(a.data.peek(), b.data.peek()));
    this.order.value = list;
    this.online.value = list.reduce((n, row) => n + (row.data.peek().online ? 1 : 0), 0);
  }
}

export const machines = new Machines();
