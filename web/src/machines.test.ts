// SPDX-License-Identifier: ISC
import { effect } from "@preact/signals";
import { expect, test, vi } from "vitest";
import { byPlace, Machines, matches, merged, toMachine, type LiveMessage } from "./machines";

const machine = (key: string, more: object = {}): LiveMessage => ({ type: "machine", key, id: `id-${key}`, name: `name ${key}`, group: "g", country: "DE", location: "Berlin", owner: "", online: true, lastSeen: 5, metrics: { cpu: { percent: 1, cores: 2 } }, ...more });
const filled = (...list: LiveMessage[]): Machines => {
  const m = new Machines();
  m.take([{ type: "hello" }, ...list, { type: "ready" }]);
  return m;
};
const keys = (m: Machines) => m.order.value.map((row) => row.key);

test("a snapshot is shown when it is complete, sorted", () => {
  const m = new Machines();
  m.take([{ type: "hello" }, machine("2", { name: "web-10" }), machine("1", { name: "web-9" })]);
  expect(m.settled.value).toBe(false);
  expect(keys(m)).toEqual([]);
  m.take([machine("3", { group: "a" }), { type: "ready" }]);
  expect(m.settled.value).toBe(true);
  expect(keys(m)).toEqual(["3", "1", "2"]); // by group, then by name with numbers as numbers
  expect(m.online.value).toBe(3);
});

test("a change touches its machine and nothing else", () => {
  const m = filled(machine("1"), machine("2"));
  const one = vi.fn();
  const two = vi.fn();
  const order = vi.fn();
  effect(() => one(m.get("1")!.data.value));
  effect(() => two(m.get("2")!.data.value));
  effect(() => order(m.order.value));
  m.take([{ type: "change", key: "1", m: { metrics: { cpu: { percent: 7 } }, lastSeen: 9 }, t: 9 }]);
  expect([one.mock.calls.length, two.mock.calls.length, order.mock.calls.length]).toEqual([2, 1, 1]);
  expect(m.get("1")!.data.value).toMatchObject({ key: "1", name: "name 1", lastSeen: 9, metrics: { cpu: { percent: 7, cores: 2 } } });
});

test("null takes away, lists and values are replaced whole, collectors are merged", () => {
  const m = filled(machine("1", { metrics: { cpu: { percent: 1, per_core: [1, 2] }, zoo: { row: { a: 1 } }, gone: { x: 1 } } }));
  m.take([{ type: "change", key: "1", m: { owner: null, metrics: { cpu: { percent: null, per_core: [3] }, zoo: { row: { b: 2 } }, gone: null, fresh: { y: 1 } } } }]);
  const data = m.get("1")!.data.value;
  expect(JSON.parse(JSON.stringify(data.metrics))).toEqual({ cpu: { per_core: [3] }, zoo: { row: { b: 2 } }, fresh: { y: 1 } });
  expect(data.owner).toBe("");
});

test("a change of a name moves its machine; of online it is counted", () => {
  const m = filled(machine("1", { name: "a" }), machine("2", { name: "b" }));
  m.take([{ type: "change", key: "1", m: { name: "c" } }]);
  expect(keys(m)).toEqual(["2", "1"]);
  m.take([{ type: "change", key: "1", m: { online: false } }]);
  expect([m.online.value, m.turns.value]).toEqual([1, 1]);
  // One goes and another comes in one frame: the count is the same, the turns are told.
  m.take([{ type: "change", key: "1", m: { online: true } }, { type: "change", key: "2", m: { online: false } }]);
  expect([m.online.value, m.turns.value]).toEqual([1, 3]);
});

test("after a reconnection, what the server has no more is gone, and the rest keeps its rows", () => {
  const m = filled(machine("1"), machine("2"));
  const row = m.get("1");
  m.take([{ type: "hello" }, machine("1", { online: false })]);
  expect(keys(m)).toEqual(["1", "2"]); // nothing flickers in between
  m.take([{ type: "ready" }]);
  expect(keys(m)).toEqual(["1"]);
  expect(m.get("1")).toBe(row);
  expect(m.online.value).toBe(0);
});

test("nothing is left of what somebody else saw", () => {
  const m = filled(machine("1"));
  m.clear();
  expect([keys(m), m.settled.value, m.online.value, m.get("1")]).toEqual([[], false, 0, undefined]);
  m.take([{ type: "change", key: "1", m: { online: false } }]);
  expect(m.order.value).toEqual([]);
});

test("gone, unknown and odd messages", () => {
  const m = filled(machine("1"), machine("2"));
  m.take([{ type: "gone", key: "1" }, { type: "change", key: "9", m: { online: false } }, { type: "change", key: "2" }, { type: "change", key: "2", m: [1] }, { type: "later" }, { type: "machine" }]);
  expect(keys(m)).toEqual(["2"]);
  expect(m.online.value).toBe(1);
});

test("members of another kind are as if they were not there", () => {
  const odd = toMachine({ key: 7, id: {}, name: null, group: 3, online: "yes", lastSeen: "x", metrics: [1] });
  expect(odd).toEqual({ key: "7", id: "", name: "", group: "", country: "", location: "", owner: "", online: false, lastSeen: 0, metrics: {} });
});

test("hostile member names pollute nothing", () => {
  const change = JSON.parse('{"metrics":{"__proto__":{"polluted":1},"constructor":{"x":1}}}') as object;
  const made = merged({ metrics: { a: { b: 1 } } }, change) as { metrics: Record<string, unknown> };
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(Object.keys(made.metrics).sort()).toEqual(["__proto__", "a", "constructor"]);
});

test("the order is total: what looks the same still never changes places", () => {
  const list = [machine("b", { id: "x", name: "N" }), machine("a", { id: "x", name: "n" }), machine("c", { id: "X", name: "n" }), machine("d", { id: "x", name: "n", group: "G" })].map(toMachine);
  const sorted = [...list].sort(byPlace).map((m) => m.key);
  for (let i = 0; i < 20; i++) expect([...list].sort(() => Math.random() - 0.5).sort(byPlace).map((m) => m.key)).toEqual(sorted);
  expect(sorted[0]).toBe("d"); // "G" and "g" are two groups and stay apart
});

test("search", () => {
  const m = toMachine(machine("1", { name: "Web-1", owner: "Ann </i>", location: "東京" }));
  for (const found of ["", "  ", "web", "ann web", "京", "id-1", "</i>"]) expect(matches(m, found), found).toBe(true);
  for (const not of ["webb", "ann bob", "203.0.113.7"]) expect(matches(m, not), not).toBe(false);
});
