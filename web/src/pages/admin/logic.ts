// SPDX-License-Identifier: ISC
// Users, invite codes and the log; no DOM.
import { member, rowsOf, timeOf } from "../parts/logic";
import { t } from "../parts/words";

export interface User {
  readonly id: string;
  readonly username: string;
  readonly email: string;
  readonly is_admin: boolean;
  readonly created_at: string;
  readonly is_active: boolean;
  readonly banned_at: string | null;
  readonly banned_reason: string | null;
  readonly endpoint_count: number;
}

export interface Code {
  readonly id: string;
  readonly code: string;
  readonly expires_at: string | null;
  readonly used_by: string | null;
  readonly used_by_username: string | null;
  readonly used_at: string | null;
  readonly created_by_username: string | null;
  readonly created_at: string;
}

export interface Entry {
  readonly id: string;
  readonly target_type: string;
  readonly target_id: string;
  readonly action: string;
  readonly reason: string | null;
  readonly operator_id: string;
  readonly created_at: string;
}

export const isBanned = (user: User): boolean => !user.is_active || Boolean(user.banned_at);

export type CodeState = "free" | "used" | "expired";
export function codeState(code: Code, now: number): CodeState {
  if (code.used_by || code.used_at) return "used";
  return code.expires_at && timeOf(code.expires_at) <= now ? "expired" : "free";
}

/** Unix seconds; undefined: for ever. */
export const expiry = (days: number, now: number): number | undefined => (days > 0 ? Math.floor(now / 1000) + days * 86400 : undefined);

export const usersOf = (answer: unknown): User[] => {
  const rows = rowsOf(answer);
  if (!rows) throw new Error(t("unreadable"));
  return rows as unknown as User[];
};
export const codesOf = (answer: unknown): Code[] => {
  const rows = rowsOf(answer);
  if (!rows) throw new Error(t("unreadable"));
  return rows as unknown as Code[];
};
export function logOf(answer: unknown): { entries: Entry[]; total: number } {
  const rows = rowsOf(member(answer, "logs"));
  const total = member(answer, "total");
  if (!rows || typeof total !== "number") throw new Error(t("unreadable"));
  return { entries: rows as unknown as Entry[], total };
}

/** What the log is asked for; of the address only what makes sense counts. */
export interface LogFilter {
  readonly target: "" | "user" | "endpoint";
  readonly action: "" | "ban" | "unban" | "disable" | "enable";
  readonly from: string;
  readonly to: string;
  readonly page: number;
}

const day = /^\d{4}-\d\d-\d\d$/;
export function readFilter(query: URLSearchParams): LogFilter {
  const target = query.get("target");
  const action = query.get("action");
  const page = Number(query.get("page") ?? 1);
  return {
    target: target === "user" || target === "endpoint" ? target : "",
    action: action === "ban" || action === "unban" || action === "disable" || action === "enable" ? action : "",
    from: day.test(query.get("from") ?? "") ? query.get("from")! : "",
    to: day.test(query.get("to") ?? "") ? query.get("to")! : "",
    page: Number.isInteger(page) && page >= 1 && page <= 1_000_000 ? page : 1,
  };
}

/** Days are those of who reads, as the times in the table are. */
export const dayBegins = (date: string): string => (date ? new Date(`${date}T00:00`).toISOString() : "");
export const dayEnds = (date: string): string => (date ? new Date(`${date}T23:59:59.999`).toISOString() : "");

/** The other way round; what is preset is left out. */
export function writeFilter(filter: LogFilter): Record<string, string> {
  const query: Record<string, string> = {};
  for (const name of ["target", "action", "from", "to"] as const) if (filter[name]) query[name] = filter[name];
  if (filter.page > 1) query["page"] = String(filter.page);
  return query;
}

/** Where somebody with a code goes: behind "#", so that no server and no log gets the code with the address. */
export const registerLink = (page: URL, code: string): string => `${page.href}#/register?${new URLSearchParams({ code })}`;
