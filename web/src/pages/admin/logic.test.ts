// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { parsePlace } from "../../router";
import { codeState, expiry, isBanned, logOf, readFilter, registerLink, usersOf, writeFilter, type Code, type User } from "./logic";

const code = (more: Partial<Code>): Code => ({ id: "1", code: "abcdefgh", expires_at: null, used_by: null, used_by_username: null, used_at: null, created_by_username: null, created_at: "", ...more });
const now = Date.UTC(2026, 0, 15);

test("a code is used, run out, or free", () => {
  expect(codeState(code({}), now)).toBe("free");
  expect(codeState(code({ expires_at: "2026-01-16T00:00:00.000Z" }), now)).toBe("free");
  expect(codeState(code({ expires_at: "2026-01-14T00:00:00.000Z" }), now)).toBe("expired");
  expect(codeState(code({ expires_at: "2026-01-14T00:00:00.000Z", used_by: "u" }), now)).toBe("used");
  expect(codeState(code({ used_at: "2026-01-14T00:00:00.000Z" }), now)).toBe("used"); // its user is deleted
});

test("codes run out after days, or never", () => {
  expect(expiry(7, now)).toBe(now / 1000 + 7 * 86400);
  expect(expiry(0, now)).toBeUndefined();
});

test("a ban is seen whichever way it is written", () => {
  const user = { is_active: true, banned_at: null } as User;
  expect(isBanned(user)).toBe(false);
  expect(isBanned({ ...user, is_active: false })).toBe(true);
  expect(isBanned({ ...user, banned_at: "2026-01-01T00:00:00Z" })).toBe(true);
});

test("the log's filter goes through the address and back, and nonsense is left out", () => {
  const filter = { target: "user", action: "ban", from: "2026-01-02", to: "2026-02-03", page: 3 } as const;
  expect(readFilter(new URLSearchParams(writeFilter(filter)))).toEqual(filter);
  const preset = { target: "", action: "", from: "", to: "", page: 1 };
  expect(writeFilter(readFilter(new URLSearchParams()))).toEqual({});
  for (const text of ["target=x&action=drop&from=1&to=tomorrow&page=0", "page=-1", "page=1.5", "page=x", "page=1e9"]) expect(readFilter(new URLSearchParams(text)), text).toEqual(preset);
});

test("the link for a new user carries the code behind the #", () => {
  const link = registerLink(new URL("https://host/muster/"), "a-b_c&d=1#");
  expect(new URL(link).search).toBe("");
  const place = parsePlace(new URL(link).hash);
  expect(place.path).toBe("/register");
  expect(place.query.get("code")).toBe("a-b_c&d=1#");
});

test("answers of another shape are errors", () => {
  expect(usersOf([])).toEqual([]);
  expect(() => usersOf({})).toThrow();
  expect(logOf({ logs: [], total: 0 })).toEqual({ entries: [], total: 0 });
  expect(() => logOf({ logs: [] })).toThrow();
  expect(() => logOf([])).toThrow();
});
