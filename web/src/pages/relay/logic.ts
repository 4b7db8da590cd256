// SPDX-License-Identifier: ISC
// The relay's answers, and what the page makes of them; no DOM.
import { member, rowsOf, timeOf } from "../parts/logic";
import { t } from "../parts/words";

export type Mode = "DIRECT" | "JSON" | "CUSTOM_HEADER";
export const modes: readonly Mode[] = ["DIRECT", "JSON", "CUSTOM_HEADER"];
export type Access = "open" | "token" | "user";

export interface Endpoint {
  readonly id: string; // of the row: what REST wants
  readonly endpoint_id: string; // of the address
  readonly name: string;
  readonly forwarding_mode: Mode;
  readonly custom_header: string | null;
  readonly created_at: string;
  readonly last_active_at: string | null;
  readonly is_disabled: boolean;
  readonly disabled_at: string | null;
  readonly disabled_reason: string | null;
  readonly websocket_url: string;
}

export interface Stats {
  readonly current_connections: number;
  readonly total_connections: number;
  readonly total_messages: number;
  readonly last_active_at: string | null;
}

export interface Device {
  readonly id: string;
  readonly device_id: string;
  readonly custom_name: string;
  readonly is_online: boolean;
  readonly last_connected_at: string;
}

export interface Message {
  readonly id: string;
  readonly content: string;
  readonly sender_info: string | null;
  readonly created_at: string;
}

export interface Command {
  readonly commandId: string;
  readonly commandType: string;
  readonly commandParams: unknown;
  readonly status: "pending" | "success" | "failed" | "timeout";
  readonly sentAt: string;
  readonly ackAt: string | null;
  readonly errorMessage: string | null;
  readonly duration: number | null;
}

export interface AccessRule {
  readonly access: Access;
  readonly allowed_origins: readonly string[];
  readonly has_token: boolean;
  readonly token?: string;
}

export interface Datum {
  readonly key: string;
  readonly value: unknown;
  readonly type: string;
  readonly unit: string | null;
  readonly timestamp: string;
}

export const maxEndpoints = 5;

/** Where a form is wrong: a key of the page's words. */
export type Wrong = "nameTooLong" | "headerTooLong" | "headerMissing";

export function checkName(name: string): Wrong | undefined {
  return [...name.trim()].length > 100 ? "nameTooLong" : undefined;
}

export function checkHeader(mode: Mode, header: string): Wrong | undefined {
  if (mode !== "CUSTOM_HEADER") return undefined;
  if (header === "") return "headerMissing";
  return [...header].length > 255 ? "headerTooLong" : undefined;
}

/** The params of a command as typed: nothing, or one JSON object. */
export function parseParams(text: string): { ok: true; params: Record<string, unknown> | undefined } | { ok: false; where: string } {
  if (text.trim() === "") return { ok: true, params: undefined };
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== "object" || Array.isArray(value)) return { ok: false, where: "" };
    return { ok: true, params: value as Record<string, unknown> };
  } catch (error) {
    return { ok: false, where: error instanceof Error ? error.message : "" };
  }
}

/** Origins as typed, one a line; what people paste is cut down to the origin. `wrong`: lines that hold none. */
export function parseOrigins(text: string): { origins: string[]; wrong: string[] } {
  const origins: string[] = [];
  const wrong: string[] = [];
  for (const part of text.split(/[\s,]+/).filter(Boolean)) {
    let origin = "";
    try {
      const url = new URL(part);
      // Schemes that browsers know no origin for, such as app://x, are as they were typed.
      origin = url.origin !== "null" ? url.origin : /^[a-z][a-z0-9+.-]*:\/\/[^/?#@*\\"'\s]+$/.test(part) ? part : "";
    } catch {
      origin = part === "null" ? part : "";
    }
    if (origin === "" || origin.includes("*")) wrong.push(part);
    else if (!origins.includes(origin)) origins.push(origin);
  }
  return { origins, wrong };
}

// ---- the message view ----

/** What the page shows: messages, newest first, and places where the server had more than it keeps. */
export type Line = { readonly kind: "message"; readonly message: Message } | { readonly kind: "gap"; readonly id: string };

const shownAtMost = 500;

/** Puts the newest messages of the server (newest first) before those known. Those that the server has pushed out stay. */
export function mergeMessages(known: readonly Line[], fresh: readonly Message[]): readonly Line[] {
  const ids = new Set<string>();
  for (const line of known) if (line.kind === "message") ids.add(line.message.id);
  const come = fresh.filter((message) => !ids.has(message.id));
  if (come.length === 0) return known;
  const lines: Line[] = come.map((message) => ({ kind: "message", message }));
  // None of them was known: others came and went in between. Unless the server has fewer than it would keep.
  if (ids.size > 0 && come.length === fresh.length && fresh.length >= 50) lines.push({ kind: "gap", id: `gap-${come[come.length - 1]!.id}` });
  return [...lines, ...known].slice(0, shownAtMost);
}

/** JSON in a form that people can read; other text as it is. */
export function pretty(content: string): string {
  if (!/^\s*[{[]/.test(content)) return content;
  try {
    // Numbers that a double cannot hold would come out changed: then it stays as it was sent.
    const value: unknown = JSON.parse(content);
    const text = JSON.stringify(value);
    return text.replace(/\s/g, "") === content.replace(/\s/g, "") ? JSON.stringify(value, null, 2) : content;
  } catch {
    return content;
  }
}

export function sortDevices(devices: readonly Device[]): Device[] {
  return [...devices].sort(
    (a, b) =>
      Number(b.is_online) - Number(a.is_online) ||
      timeOf(b.last_connected_at) - timeOf(a.last_connected_at) ||
      (a.device_id < b.device_id ? -1 : a.device_id > b.device_id ? 1 : 0),
  );
}

// ---- answers ----

const unreadable = (): Error => new Error(t("unreadable"));
function list<T>(answer: unknown, name: string): T[] {
  const rows = rowsOf(member(answer, "data", name));
  if (!rows) throw unreadable();
  return rows as unknown as T[];
}
export const endpointsOf = (answer: unknown): Endpoint[] => list(answer, "endpoints");
export const devicesOf = (answer: unknown): Device[] => list(answer, "devices");
export const messagesOf = (answer: unknown): Message[] => list(answer, "messages");
export function dataOf<T>(answer: unknown, ...names: readonly string[]): T {
  const value = member(answer, "data", ...names);
  if (value === null || typeof value !== "object") throw unreadable();
  return value as T;
}
export const commandsOf = (answer: unknown): Command[] => (rowsOf(member(answer, "commands")) ?? []) as unknown as Command[];
export const datumsOf = (answer: unknown): Datum[] => (rowsOf(member(answer, "data")) ?? []) as unknown as Datum[];
