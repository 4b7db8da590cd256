// SPDX-License-Identifier: ISC
import { del, get, post } from "../../api";
import { member, rowsOf } from "../parts/logic";
import { t as parts } from "../parts/words";

export interface Key {
  readonly id: string;
  readonly name: string;
  readonly created_at: string;
  readonly last_used_at: string | null;
}

export function keysOf(answer: unknown): Key[] {
  const rows = rowsOf(member(answer, "data", "api_keys"));
  if (!rows) throw new Error(parts("unreadable"));
  return rows as unknown as Key[];
}

/** The key itself, which the server tells once. */
export function newKeyOf(answer: unknown): { id: string; key: string } {
  const made = member(answer, "data", "api_key");
  const key = member(made, "key");
  if (typeof key !== "string" || key === "") throw new Error(parts("unreadable"));
  return { id: String(member(made, "id") ?? ""), key };
}

export const listKeys = async (): Promise<Key[]> => keysOf(await get("/api/auth/api-keys"));
export const makeKey = async (name: string): Promise<{ id: string; key: string }> => newKeyOf(await post("/api/auth/api-keys", { name }));
export const deleteKey = (id: string): Promise<unknown> => del(`/api/auth/api-keys/${encodeURIComponent(id)}`);
