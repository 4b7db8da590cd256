// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { keysOf, newKeyOf } from "./api";

test("keys, and the one that was made", () => {
  expect(keysOf({ data: { api_keys: [{ id: "1", name: "a" }] } })).toHaveLength(1);
  expect(() => keysOf({ data: {} })).toThrow();
  expect(newKeyOf({ data: { api_key: { id: "1", key: "mk_x" } } })).toEqual({ id: "1", key: "mk_x" });
  for (const odd of [undefined, {}, { data: { api_key: { id: "1" } } }, { data: { api_key: { key: "" } } }]) expect(() => newKeyOf(odd)).toThrow(); // never an empty key to paste
});
