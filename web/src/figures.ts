// SPDX-License-Identifier: ISC
// The figures that pages know out of a machine's metrics (docs/metrics.md). Machines send what they like:
// what is of another kind than expected is left out.
import { isNumber } from "./format";
import type { Metrics } from "./machines";

type Values = Readonly<Record<string, unknown>>;
const none: Values = Object.freeze({});

export const values = (value: unknown): Values => (value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Values) : none);
export const own = (of: Values, name: string): unknown => (Object.prototype.hasOwnProperty.call(of, name) ? of[name] : undefined);
const num = (of: Values, name: string): number | undefined => {
  const value = own(of, name);
  return isNumber(value) ? value : undefined;
};
const size = (of: Values, name: string): number | undefined => {
  const value = num(of, name);
  return value !== undefined && value >= 0 ? value : undefined;
};
const text = (of: Values, name: string): string => {
  const value = own(of, name);
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
};
const share = (of: Values, name: string): number | undefined => {
  const value = num(of, name);
  return value !== undefined && value >= 0 && value <= 1000 ? value : undefined;
};
const rows = (of: Values, name: string): Values[] => {
  const list = own(of, name);
  return Array.isArray(list) ? list.slice(0, 512).filter((row): row is Values => row !== null && typeof row === "object" && !Array.isArray(row)) : [];
};
const numbers = (of: Values, name: string): number[] => {
  const list = own(of, name);
  return Array.isArray(list) ? list.slice(0, 1024).filter(isNumber) : [];
};

export interface Summary {
  cpu: number | undefined;
  cores: number | undefined;
  memory: number | undefined;
  memoryUsed: number | undefined;
  memoryTotal: number | undefined;
  swap: number | undefined; // undefined, too, where there is no swap
  swapUsed: number | undefined;
  swapTotal: number | undefined;
  disk: number | undefined;
  diskUsed: number | undefined;
  diskFree: number | undefined; // what a normal user can write
  diskTotal: number | undefined;
  rx: number | undefined;
  tx: number | undefined;
  load: readonly number[];
  uptime: number | undefined;
  platform: string;
  stuck: string;
}

/** What the list of machines shows. */
export function summary(metrics: Metrics): Summary {
  const cpu = values(own(metrics, "cpu"));
  const memory = values(own(metrics, "memory"));
  const disk = values(own(metrics, "disk"));
  const network = values(own(metrics, "network"));
  const system = values(own(metrics, "system"));
  const swapTotal = size(memory, "swap_total");
  return {
    cpu: share(cpu, "percent"),
    cores: num(cpu, "cores"),
    memory: share(memory, "used_percent"),
    memoryUsed: size(memory, "used"),
    memoryTotal: size(memory, "total"),
    swap: swapTotal === 0 || (swapTotal === undefined && !share(memory, "swap_used_percent")) ? undefined : share(memory, "swap_used_percent"),
    swapUsed: size(memory, "swap_used"),
    swapTotal,
    disk: share(disk, "used_percent"),
    diskUsed: size(disk, "used"),
    diskFree: size(disk, "free"),
    diskTotal: size(disk, "total"),
    rx: size(network, "rx_speed"),
    tx: size(network, "tx_speed"),
    load: ["load1", "load5", "load15"].map((name) => num(cpu, name)).filter((n): n is number => n !== undefined),
    uptime: size(system, "uptime"),
    platform: [text(system, "platform"), text(system, "platform_version")].filter(Boolean).join(" "),
    stuck: text(values(own(metrics, "agent")), "stuck"),
  };
}

export interface Disk { name: string; device: string; fstype: string; total: number | undefined; used: number | undefined; percent: number | undefined; read: number | undefined; write: number | undefined }
export interface Interface { name: string; rx: number | undefined; tx: number | undefined; rxBytes: number | undefined; txBytes: number | undefined }
export interface Temperature { name: string; celsius: number | undefined }

export interface Details {
  perCore: readonly number[];
  model: string;
  disks: readonly Disk[];
  interfaces: readonly Interface[];
  temperatures: readonly Temperature[];
  /** Name in words.ts → text. */
  facts: readonly (readonly [string, string])[];
  bootTime: number | undefined;
  /** Of collectors that this page does not know: name → metrics. */
  others: readonly (readonly [string, Values])[];
}

const known = new Set(["cpu", "memory", "disk", "network", "system", "agent"]);

/** How many figures there are of collectors that this page does not know. */
export const othersOf = (metrics: Metrics): number => Object.entries(metrics).reduce((sum, [name, value]) => (known.has(name) ? sum : sum + Object.keys(values(value)).length), 0);

/** What the page of one machine shows besides. */
export function details(metrics: Metrics): Details {
  const cpu = values(own(metrics, "cpu"));
  const system = values(own(metrics, "system"));
  const agent = values(own(metrics, "agent"));
  const facts: [string, string][] = [
    ["hostname", text(system, "hostname")],
    ["platform", [text(system, "platform"), text(system, "platform_version")].filter(Boolean).join(" ")],
    ["kernel", text(system, "kernel")],
    ["arch", text(system, "arch")],
    ["virtualization", text(system, "virtualization")],
    ["model", text(cpu, "model")],
    ["agent", text(agent, "version")],
  ];
  return {
    perCore: numbers(cpu, "per_core"),
    model: text(cpu, "model"),
    disks: rows(values(own(metrics, "disk")), "disks").map((row) => ({
      name: text(row, "path"), device: text(row, "device"), fstype: text(row, "fstype"), total: size(row, "total"), used: size(row, "used"),
      percent: share(row, "used_percent"), read: size(row, "read_speed"), write: size(row, "write_speed"),
    })),
    interfaces: rows(values(own(metrics, "network")), "interfaces").map((row) => ({
      name: text(row, "name"), rx: size(row, "rx_speed"), tx: size(row, "tx_speed"), rxBytes: size(row, "rx_bytes"), txBytes: size(row, "tx_bytes"),
    })),
    temperatures: rows(system, "temperatures").map((row) => ({ name: text(row, "name"), celsius: num(row, "celsius") })).filter((row) => row.celsius !== undefined),
    facts: facts.filter(([, value]) => value !== ""),
    bootTime: num(system, "boot_time"),
    others: Object.entries(metrics).filter((entry): entry is [string, Values] => !known.has(entry[0]) && entry[1] !== null && typeof entry[1] === "object" && !Array.isArray(entry[1])),
  };
}
