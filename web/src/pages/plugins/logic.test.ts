// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { filtered, flat, grouped, hidden, instancesOf, micros, sectionsOf, total } from "./logic";

const row = {
  instance: "relay", plugin: "relay", version: "1.0", summary: "s", licence: "ISC", kind: "protocol", state: "running", file: "/f",
  provides: ["a/1"], needs: ["store/1", 7], wants: null,
  callbacks: [{ name: "message", calls: 10, errors: 1, total_ms: 2.5, p99_us: 300, max_us: 900 }, { name: "timer", calls: 0, errors: 0, total_ms: 0, p99_us: 9e9, max_us: 0 }, "odd"],
  counters: { good: 1, bad: "x" },
};

test("instances out of every shape that the API may have", () => {
  for (const answer of [[row], { plugins: [row] }, { data: [row] }, { data: { plugins: [row] } }]) {
    const [one] = instancesOf(answer)!;
    expect(one).toMatchObject({ instance: "relay", needs: ["store/1"], wants: [], counters: [["good", 1]] });
    expect(one!.callbacks).toHaveLength(2);
  }
  expect(instancesOf({})).toBeNull();
  expect(instancesOf([{}])![0]).toMatchObject({ instance: "", state: "", callbacks: [], counters: [] });
});

test("sums of an instance; what was never called says nothing", () => {
  const [one] = instancesOf([row])!;
  expect(total(one!)).toEqual({ calls: 10, errors: 1, p99: 300 });
  const started = instancesOf([{ ...row, callbacks: [...row.callbacks, { name: "start", calls: 1, errors: 0, total_ms: 39, p99_us: 39_000, max_us: 39_000 }, { name: "job", calls: 4, errors: 0, total_ms: 900, p99_us: 440_000, max_us: 440_000 }] }])![0]!;
  expect(total(started)).toEqual({ calls: 15, errors: 1, p99: 300 }); // a slow start, or work on another thread, holds nobody up
  expect(total(instancesOf([{}])![0]!)).toEqual({ calls: 0, errors: 0, p99: null });
});

test("microseconds in a unit that people read", () => {
  expect([0, 0.42, 12.4, 999, 1000, 3149, 99_600, 999_400, 1_200_000].map(micros)).toEqual(["< 1 µs", "0.4 µs", "12 µs", "999 µs", "1.0 ms", "3.1 ms", "100 ms", "999 ms", "1.20 s"]);
  for (const odd of [null, -1, NaN, Infinity]) expect(micros(odd)).toBe("–");
});

test("options one a line, secrets never shown as values", () => {
  const options = flat({ listen: [{ port: 1, tls: { key: null } }], secret: hidden, keys: [hidden, hidden], origins: [], motd: "", on: false, list: ["a", 2], deep: {} });
  expect(options).toEqual([
    { path: "listen[0].port", value: "1", kind: "plain" },
    { path: "listen[0].tls.key", value: "", kind: "unset" },
    { path: "secret", value: hidden, kind: "secret" },
    { path: "keys", value: `${hidden}, ${hidden}`, kind: "secret" },
    { path: "origins", value: "", kind: "empty" },
    { path: "motd", value: "", kind: "empty" },
    { path: "on", value: "false", kind: "plain" },
    { path: "list", value: "a, 2", kind: "text" },
    { path: "deep", value: "", kind: "empty" },
  ]);
});

test("the configuration's parts", () => {
  expect(sectionsOf({ program: { a: 1 }, plugins: [{ instance: "i", plugin: "p", kind: "x", config: { b: 2 } }, { instance: "j", plugin: "j" }] })).toEqual([
    { name: "", plugin: "", config: { a: 1 } },
    { name: "i", plugin: "p", config: { b: 2 } },
    { name: "j", plugin: "j", config: {} },
  ]);
  expect(sectionsOf(null)).toEqual([]);
});

const config = { listen: [{ address: "::", port: 1, tls: { key: null } }, { address: "127.0.0.1", port: 2, tls: { key: hidden } }], limits: { most: 3, peers: [] }, node: null, dirs: ["/a", "/b"], none: [] };

test("lists of groups are entries, all the rest is one a line", () => {
  const { options, lists } = grouped(config);
  expect(options.map((o) => o.path)).toEqual(["limits.most", "limits.peers", "node", "dirs", "none"]);
  expect(lists.map((l) => [l.path, l.entries.map((e) => [e.path, e.options.map((o) => o.path)])])).toEqual([
    ["listen", [["listen[0]", ["address", "port", "tls.key"]], ["listen[1]", ["address", "port", "tls.key"]]]],
  ]);
  expect(grouped({})).toEqual({ options: [], lists: [] });
  expect(grouped(null)).toEqual({ options: [], lists: [] });
  expect(grouped({ deep: { list: [{ a: 1 }] } }).lists[0]!.path).toBe("deep.list");
  expect(grouped({ odd: [1, { a: 2 }] }).lists[0]!.entries.map((e) => e.options.length)).toEqual([1, 1]);
});

test("what is not set is left out, but found by who looks for it", () => {
  const section = { name: "", plugin: "", config };
  const paths = (search: string, unset = false) => {
    const { options, lists } = filtered(section, search, unset);
    return [...options.map((o) => o.path), ...lists.flatMap((l) => l.entries.map((e) => `${e.path}: ${e.options.map((o) => o.path).join(" ")}`))];
  };
  expect(paths("")).toEqual(["limits.most", "limits.peers", "dirs", "none", "listen[0]: address port", "listen[1]: address port tls.key"]);
  expect(paths("", true)).toContain("listen[0]: address port tls.key");
  expect(paths("", true)).toContain("node");
  expect(paths("node")).toEqual(["node"]);
  expect(paths("127.0.0.1")).toEqual(["listen[1]: address port tls.key"]);
  expect(paths("/b")).toEqual(["dirs"]);
  expect(paths("hidden")).toEqual([]); // a secret is not found by what stands for it
  expect(paths("no such thing")).toEqual([]);
});
