// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { checkHeader, checkName, commandsOf, dataOf, datumsOf, devicesOf, endpointsOf, mergeMessages, parseOrigins, parseParams, pretty, sortDevices, type Device, type Line, type Message } from "./logic";

const messages = (...ids: number[]): Message[] => ids.map((id) => ({ id: String(id), content: `m${id}`, sender_info: null, created_at: "" }));
const shown = (lines: readonly Line[]): (string | null)[] => lines.map((line) => (line.kind === "message" ? line.message.id : null));
const range = (from: number, to: number): number[] => Array.from({ length: from - to + 1 }, (_, i) => from - i);

test("new messages stand before those known, each once", () => {
  const first = mergeMessages([], messages(3, 2, 1));
  expect(shown(first)).toEqual(["3", "2", "1"]);
  expect(mergeMessages(first, messages(3, 2, 1))).toBe(first); // nothing came: nothing is drawn
  expect(shown(mergeMessages(first, messages(5, 4, 3, 2)))).toEqual(["5", "4", "3", "2", "1"]);
});

test("what the server no longer has stays, and what nobody saw is told of", () => {
  const first = mergeMessages([], messages(...range(50, 1)));
  const overlapping = mergeMessages(first, messages(...range(99, 50)));
  expect(overlapping.length).toBe(99);
  expect(shown(overlapping)).not.toContain(null);
  const gap = mergeMessages(first, messages(...range(200, 151)));
  expect(shown(gap).indexOf(null)).toBe(50);
  expect(gap.length).toBe(101);
  expect(new Set(gap.map((line) => (line.kind === "gap" ? line.id : line.message.id))).size).toBe(101); // keys are unique
  expect(shown(mergeMessages([], messages(...range(50, 1))))).not.toContain(null); // the first look misses nothing
  expect(shown(mergeMessages(mergeMessages([], messages(1)), messages(3, 2)))).not.toContain(null); // fewer than the server keeps: it was emptied
});

test("the page does not grow for ever", () => {
  let lines: readonly Line[] = [];
  for (let i = 0; i < 100; i++) lines = mergeMessages(lines, messages(...range(i * 50 + 49, i * 50)));
  expect(lines.length).toBe(500);
  expect(shown(lines)[0]).toBe("4999");
});

test("params are a JSON object or nothing", () => {
  expect(parseParams(" ")).toEqual({ ok: true, params: undefined });
  expect(parseParams('{"on": true}')).toEqual({ ok: true, params: { on: true } });
  for (const text of ["[1]", "1", "null", '"a"', "{", "{on:1}"]) expect(parseParams(text).ok, text).toBe(false);
});

test("origins are cut down to what browsers send", () => {
  expect(parseOrigins("https://example.org/page?x=1\nhttp://LOCALHOST:8080, https://example.org:443\n")).toEqual({ origins: ["https://example.org", "http://localhost:8080"], wrong: [] });
  expect(parseOrigins("app://inside null")).toEqual({ origins: ["app://inside", "null"], wrong: [] });
  expect(parseOrigins("example.org https://*.example.org javascript:alert(1) data:text/html,x").origins).toEqual([]);
  expect(parseOrigins("").origins).toEqual([]);
});

test("JSON is laid out only where that changes nothing but the spaces", () => {
  expect(pretty('{"a":[1,{"b":2}]}')).toBe('{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ]\n}');
  expect(pretty(" [1]")).toBe("[\n  1\n]");
  for (const text of ["hello", "12", "{broken", '{"n":12345678901234567890}', '{"n":1.0}', '{"a":1,"a":2}', '{"u":"\\u00e9"}', ""]) expect(pretty(text), text).toBe(text);
});

test("forms say what is wrong before the server does", () => {
  expect(checkName("")).toBeUndefined();
  expect(checkName("x".repeat(100))).toBeUndefined();
  expect(checkName("x".repeat(101))).toBe("nameTooLong");
  expect(checkName("😀".repeat(100))).toBeUndefined();
  expect(checkHeader("DIRECT", "")).toBeUndefined();
  expect(checkHeader("CUSTOM_HEADER", "")).toBe("headerMissing");
  expect(checkHeader("CUSTOM_HEADER", " ")).toBeUndefined();
  expect(checkHeader("CUSTOM_HEADER", "x".repeat(256))).toBe("headerTooLong");
});

test("devices that are there come first, and the order is always the same", () => {
  const device = (id: string, online: boolean, at: string): Device => ({ id, device_id: id, custom_name: id, is_online: online, last_connected_at: at });
  const list = [device("d", false, "2026-01-02T00:00:00Z"), device("b", true, "2026-01-01T00:00:00Z"), device("a", true, "2026-01-01T00:00:00Z"), device("c", true, "2026-01-03T00:00:00Z")];
  expect(sortDevices(list).map((d) => d.id)).toEqual(["c", "a", "b", "d"]);
  expect(sortDevices([...list].reverse()).map((d) => d.id)).toEqual(["c", "a", "b", "d"]);
});

test("answers of another shape are errors, not empty pages", () => {
  expect(endpointsOf({ data: { endpoints: [] } })).toEqual([]);
  for (const answer of [undefined, null, {}, [], { data: {} }, { data: { endpoints: {} } }]) {
    expect(() => endpointsOf(answer)).toThrow();
    expect(() => devicesOf(answer)).toThrow();
  }
  expect(() => dataOf({ data: { endpoint: null } }, "endpoint")).toThrow();
  expect(dataOf({ data: { endpoint: { id: "1" } } }, "endpoint")).toEqual({ id: "1" });
  expect(commandsOf({ commands: [{ commandId: "a" }] })).toHaveLength(1);
  expect(datumsOf({ data: [{ key: "t" }] })).toHaveLength(1);
});
