// SPDX-License-Identifier: ISC
import type { Session } from "../../session";

/** {data:{token,user}} as a session; null: something else. */
export function readLogin(answer: unknown): Session | null {
  const data = (answer as { data?: { token?: unknown; user?: Record<string, unknown> } } | undefined)?.data;
  if (typeof data?.token !== "string" || data.token === "" || !data.user) return null;
  const { id, username, is_admin: admin } = data.user;
  return { token: data.token, user: { id: String(id ?? ""), name: String(username ?? ""), role: admin === true || admin === 1 ? "admin" : "user" } };
}

/** Where to go after the login: a path of this console and nothing else. */
export function returnPath(to: string | null): string {
  return to && /^\/(?!\/)/.test(to) && !to.startsWith("/login") ? to : "/";
}

/** The password was one for a single use: its user is to choose one of their own. */
export const isOneTime = (answer: unknown): boolean => (answer as { data?: { password_change_required?: unknown } } | undefined)?.data?.password_change_required === true;
