// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { ApiError } from "../../api";
import { fieldError, finds, inText, isFinal, lengthOf, member, nextWait, rowsOf, timeOf, visible } from "./logic";

test("questions come slower after failures, and no sooner than the server wants", () => {
  expect(nextWait(2000, 0)).toBe(2000);
  expect(nextWait(2000, 1)).toBe(4000);
  expect(nextWait(2000, 3)).toBe(16_000);
  expect(nextWait(2000, 50)).toBe(30_000);
  expect(nextWait(2000, 1, new ApiError(429, "X", "", [], "", 90))).toBe(90_000);
  expect(nextWait(2000, 0, new ApiError(429, "X", "", [], "", 90))).toBe(2000);
});

test("what is gone is not asked for again, what is away is", () => {
  for (const status of [400, 401, 403, 404]) expect(isFinal(new ApiError(status, "X", ""))).toBe(true);
  for (const status of [0, 408, 429, 500, 503]) expect(isFinal(new ApiError(status, "X", ""))).toBe(false);
  expect(isFinal(new Error("x"))).toBe(false);
  expect(isFinal(undefined)).toBe(false);
});

test("errors find their fields", () => {
  const error = new ApiError(400, "VALIDATION_ERROR", "no", [
    { field: "password", message: "too short" },
    { field: "password", message: "needs a digit" },
    { field: "email", message: "no address" },
  ]);
  expect(fieldError(error, "password")).toBe("too short · needs a digit");
  expect(fieldError(error, "mail", "email")).toBe("no address");
  expect(fieldError(error, "name")).toBeUndefined();
  expect(fieldError(new Error("x"), "name")).toBeUndefined();
});

test("what would be hidden or turn the text around is seen", () => {
  expect(visible("\u001b[31mred\u001b[0m")).toBe("⟨1B⟩[31mred⟨1B⟩[0m");
  expect(visible("a\u202eb\u2066c\u200f")).toBe("a⟨202E⟩b⟨2066⟩c⟨200F⟩");
  expect(visible("a\r\nb\tc\u0000\u007f\u009b")).toBe("a⟨0D⟩\nb\tc⟨00⟩⟨7F⟩⟨9B⟩");
  expect(visible("<b>日本 é 😀</b>")).toBe("<b>日本 é 😀</b>");
  expect(visible("مرحبا")).toBe("مرحبا");
});

test("a name turns nothing around it", () => {
  expect(inText("\u202eevil")).toBe("\u2068⟨202E⟩evil\u2069");
  expect(inText("a\u2069b")).toBe("\u2068a⟨2069⟩b\u2069"); // it cannot end the isolation itself
});

test("a search wants all its words, in any order", () => {
  expect(finds("", "x")).toBe(true);
  expect(finds("  B a ", "A", "b")).toBe(true);
  expect(finds("a c", "A", "b", null, undefined)).toBe(false);
  expect(finds("ab", "a", "b")).toBe(false); // a word does not go across two texts
});

test("lengths are those of the server: code points", () => {
  expect(lengthOf("😀é")).toBe(2);
  expect(lengthOf("")).toBe(0);
});

test("answers are looked into without trust", () => {
  expect(member({ a: { b: 1 } }, "a", "b")).toBe(1);
  for (const value of [null, undefined, 1, "a", [], { a: null }, { a: [1] }]) expect(member(value, "a", "b")).toBeUndefined();
  expect(rowsOf([{ a: 1 }, null, 2, [3]])).toEqual([{ a: 1 }]);
  expect(rowsOf({})).toBeNull();
  expect(timeOf("2026-11-21T07:47:22.748Z")).toBe(Date.UTC(2026, 10, 21, 7, 47, 22, 748));
  for (const value of [null, "", 5, "yesterday"]) expect(timeOf(value)).toBeNaN();
});
