// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { isOneTime } from "../login/logic";
import { checkPasswords, isEmail, strong } from "./logic";

test("passwords are judged as the server does", () => {
  expect(strong("Password1")).toBe(true);
  for (const weak of ["", "Passw0r", "password1", "PASSWORD1", "Password", "ÄÖÜäöü11"]) expect(strong(weak), weak).toBe(false);
});

test("what is wrong with a new password", () => {
  expect(checkPasswords("Old1234x", "New1234x", "New1234x")).toEqual({});
  expect(checkPasswords("Old1234x", "short", "short")).toEqual({ fresh: "tooWeak" });
  expect(checkPasswords("Old1234x", "Old1234x", "Old1234x")).toEqual({ fresh: "same" });
  expect(checkPasswords("Old1234x", "New1234x", "New1234y")).toEqual({ again: "differ" });
});

test("addresses", () => {
  expect(isEmail("a@b.c")).toBe(true);
  for (const odd of ["", "a", "a@b", "a b@c.d", "a@@b.c", `${"a".repeat(252)}@b.c`]) expect(isEmail(odd), odd).toBe(false);
});

test("a one-time password is told from others", () => {
  expect(isOneTime({ data: { token: "t", password_change_required: true } })).toBe(true);
  for (const answer of [undefined, {}, { data: {} }, { data: { password_change_required: "true" } }]) expect(isOneTime(answer)).toBe(false);
});
