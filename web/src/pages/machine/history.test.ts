// SPDX-License-Identifier: ISC
import { describe, expect, test } from "vitest";
import { allowed, charts, FARTHEST, parseName, scaleEnd, spans, unitOf, zoomed } from "./charts";
import { bridged, flatten, History, lonely, parsePast, rowAt, valueAt } from "./history";
import { rightOf } from "./row";

const past = (t: number[], series: Record<string, (number | null)[]>) => ({ t, series: new Map(Object.entries(series)), retention: 0, leftOut: 0 });

test("numbers of a report have the names of the server's series", () => {
  const flat = flatten({
    cpu: { percent: 5, per_core: [1, "x", 3], model: "M" },
    disk: { disks: [{ path: "/a.b", used: 7, device: "sda" }, { nothing: 1 }, null, 4] },
    odd: null as unknown as object,
    list: [1],
  });
  expect(Object.fromEntries(flat)).toEqual({ "cpu.percent": 5, "cpu.per_core[0]": 1, "cpu.per_core[2]": 3, "disk.disks[/a.b].used": 7, "disk.disks[3]": 4 });
});

test("names are read back, whatever a label holds", () => {
  expect(parseName("cpu.percent")).toEqual({ collector: "cpu", metric: "percent", label: null, field: "" });
  expect(parseName("cpu.per_core[12]")).toEqual({ collector: "cpu", metric: "per_core", label: "12", field: "" });
  expect(parseName("disk.disks[/a].b[c].used")).toEqual({ collector: "disk", metric: "disks", label: "/a].b[c", field: "used" });
  expect(parseName("disk.disks[a\nb].used")?.label).toBe("a\nb");
  for (const bad of ["", "cpu", "cpu.", ".x", "a.b]"]) expect(parseName(bad)).toBeNull();
});

describe("the past and the present", () => {
  test("an answer of another shape is empty, and holes in it are holes", () => {
    for (const odd of [null, 5, "x", {}, { t: {}, v: [], series: [] }, { t: [1], series: [null, {}], v: [[1], [2]] }]) expect(parsePast(odd).series.size).toBe(0);
    const read = parsePast({ t: [1000, 2000, 3000], series: [{ name: "a.b" }, { name: "a.c" }], v: [[1, null, "3"], [4]], retention_ms: 3600000 });
    expect(read.t).toEqual([1, 2, 3]);
    expect(read.series.get("a.b")).toEqual([1, null, null]);
    expect(read.series.get("a.c")).toEqual([4, null, null]);
    expect(read.retention).toBe(3600);
  });

  test("live points that are newer than the past stay behind it", () => {
    const h = new History();
    h.add(100, new Map([["a.b", 1]]), 15);
    h.add(110, new Map([["a.b", 2], ["a.new", 9]]), 15);
    h.load(past([80, 90, 105], { "a.b": [5, null, 7], "a.old": [1, 1, 1] }));
    expect(h.times).toEqual([80, 90, 105, 110]);
    expect(h.column("a.b")).toEqual([5, null, 7, 2]);
    expect(h.column("a.new")).toEqual([null, null, null, 9]);
    expect(h.column("a.old")).toEqual([1, 1, 1, null]);
    expect(h.column("never")).toEqual([null, null, null, null]);
    h.add(111, new Map([["a.b", 3]]), 15);
    h.load(past([105, 111], { "a.b": [7, 8] })); // asked again: nothing twice
    expect(h.times).toEqual([105, 111]);
    expect(h.column("a.b")).toEqual([7, 8]);
  });

  test("time runs forward only, and a silence is a gap", () => {
    const h = new History();
    h.add(100, new Map([["a", 1]]), 15);
    h.add(99, new Map([["a", 2]]), 15);
    h.add(100, new Map([["a", 2]]), 15);
    h.add(200, new Map([["a", 3]]), 15);
    expect(h.times).toEqual([100, 150, 200]);
    expect(h.column("a")).toEqual([1, null, 3]);
    expect(h.drawn(["a"], 300, 900)).toEqual([[100, 150, 200], [1, null, 3]]);
  });

  test("over a long span live points are as far apart as those of the past", () => {
    const h = new History();
    h.load(past([0, 10, 20, 30], { a: [1, 1, 1, 1] }));
    for (let at = 31; at <= 60; at++) h.add(at, new Map([["a", at % 2 ? 0 : 4]]), 15);
    expect(h.drawn(["a"], 300, 900)[0]).toHaveLength(34); // a pixel is less than a second
    const [t, a] = h.drawn(["a"], 3600, 900);
    expect(t).toEqual([0, 10, 20, 30, 39, 49, 59, 60]);
    expect(a!.slice(5, 7)).toEqual([2, 2]); // means, not whichever came last
    expect(h.drawn(["a"], 300, 30)[0]).toHaveLength(8); // a pixel is ten seconds
    h.add(200, new Map([["a", 9]]), 15);
    expect(h.drawn(["a"], 3600, 900)[1]!.slice(-3)).toEqual([4, null, 9]); // a silence stays one
  });

  test("the value at a time is found after the rows have become others", () => {
    expect([-5, 0, 4, 6, 14, 99].map((at) => rowAt([0, 10, 20], at))).toEqual([0, 0, 0, 1, 1, 2]);
    const h = new History();
    h.load(past(Array.from({ length: 100 }, (_, i) => i * 10), { a: Array.from({ length: 100 }, (_, i) => i) }));
    expect(h.value("a", 900)).toBe(90);
    h.load(past([880, 890, 900], { a: [88, 89, 90] })); // zoomed in: three rows in place of a hundred
    expect(h.value("a", 900)).toBe(90);
  });

  test("between an old part of the past and now there is no line", () => {
    const h = new History();
    h.add(5000, new Map([["a", 7]]), 15);
    h.load(past([100, 110, 120], { a: [1, 2, 3] }));
    expect(h.drawn(["a"], 60, 900)).toEqual([[100, 110, 120, 2560, 5000], [1, 2, 3, null, 7]]);
    h.load(past([4980, 4990], { a: [5, 6] })); // back to now
    expect(h.drawn(["a"], 60, 900)).toEqual([[4980, 4990, 5000], [5, 6, 7]]);
  });

  test("it is known which figures have no past, and only where the server leaves some out", () => {
    const h = new History();
    expect(h.isLeftOut("b")).toBe(false);
    h.load(past([100, 110], { a: [1, 2] }));
    expect(h.isLeftOut("b")).toBe(false);
    h.load({ ...past([100, 110], { a: [1, 2] }), leftOut: 3 });
    expect([h.isLeftOut("a"), h.isLeftOut("b")]).toEqual([false, true]);
    h.load({ ...past([], {}), leftOut: 3 }); // has only just begun to report
    expect(h.isLeftOut("b")).toBe(false);
    expect(parsePast({ t: [], left_out: 4 }).leftOut).toBe(4);
  });

  test("an open page does not grow for ever", () => {
    const h = new History();
    h.load(past([0], { a: [0] }));
    for (let i = 1; i <= 9000; i++) h.add(i, new Map([["a", i]]), 15);
    expect(h.times.length).toBeLessThanOrEqual(4501);
    expect(h.times[h.times.length - 1]).toBe(9000);
    expect(h.column("a").length).toBe(h.times.length);
    for (let i = 0; i < 3000; i++) h.add(9001 + i, new Map([[`b.${i}`, 1], ["a", 2]]), 15);
    expect(h.names().length).toBeLessThanOrEqual(1000);
    expect(h.value("a", null)).toBe(2);
  });

  test("live points that are dropped do not take a past with them that is looked at", () => {
    const h = new History();
    const t = Array.from({ length: 900 }, (_, i) => i);
    h.load(past(t, { a: t }));
    for (let i = 1; i <= 12000; i++) h.add(5000 + i, new Map([["a", i]]), 1e9);
    expect(h.times.slice(0, 900)).toEqual(t);
    expect(h.column("a").slice(0, 901)).toEqual([...t, null]);
    expect(h.times.length).toBeLessThanOrEqual(900 + 4501);
    expect(h.column("a").length).toBe(h.times.length);
    expect([...h.times].sort((a, b) => a - b)).toEqual(h.times);
    const [, drawn] = h.drawn(["a"], 60, 900);
    expect(drawn!.slice(899, 902)).toEqual([899, null, h.column("a")[901]]);
    expect(h.value("a", null)).toBe(12000);
  });

  test("a machine that reports once a minute has a line; where it was silent for longer, there is none", () => {
    const t = Array.from({ length: 31 }, (_, i) => i * 10);
    const column = t.map((at) => (at % 60 === 0 ? at : null)); // 0 60 120 … 300
    const drawn = bridged(t, column, t.length);
    expect(drawn.includes(null)).toBe(false);
    const silent = t.map((at) => (at % 60 === 0 && (at < 100 || at > 250) ? at : null));
    expect(bridged([...t, 310], [...silent, null], t.length + 1).slice(7, 30).every((v) => v === null)).toBe(true);
    expect(bridged([0, 10, 20], [null, null, null], 3)).toEqual([null, null, null]);
  });

  test("a value without neighbours is a point", () => {
    expect(lonely([1, null, 2, 3, null, undefined, 4])).toEqual([0, 6]);
    expect(lonely([1, undefined, 2, null])).toEqual([]);
    expect(lonely([])).toEqual([]);
  });

  test("what stands beside a chart is the newest value, unless it is old", () => {
    expect(valueAt([0, 10, 20], [1, 2, null], 2)).toBe(2);
    expect(valueAt([0, 10, 200], [1, 2, null], 2)).toBeNull();
    expect(valueAt([], [], -1)).toBeNull();
  });
});

test("known figures have their charts, and so has everything else", () => {
  const names = ["cpu.percent", "cpu.per_core[10]", "cpu.per_core[2]", "cpu.load1", "memory.used_percent", "disk.disks[/].read_speed", "disk.disks[/].write_speed", "zoo.lions", "zoo.pens[b].used", "zoo.pens[a].used", "agent.failures", "nonsense"];
  const list = charts(names);
  expect(list.map((c) => c.id)).toEqual(["cpu", "memory", "io", "load", "cores", "zoo.lions", "zoo.pens[].used"]);
  expect(list.find((c) => c.id === "cores")!.lines.map((l) => l.label)).toEqual(["2", "10"]);
  expect(list.find((c) => c.id === "zoo.pens[].used")).toMatchObject({ of: "zoo", title: "Pens: Used", unit: "B" });
  const two = charts(["disk.disks[/].read_speed", "disk.disks[/b].read_speed", "network.interfaces[a].rx_speed", "network.interfaces[b].rx_speed"]);
  expect(two.map((c) => c.id)).toEqual(["read", "rx"]);
  const disk = (...names: string[]) => charts(names)[0]!.lines.map((l) => [l.name, l.label]);
  expect(disk("disk.used_percent", "disk.disks[/].used_percent")).toEqual([["disk.used_percent", "/"]]);
  expect(disk("disk.disks[/].used_percent")).toEqual([["disk.disks[/].used_percent", "/"]]);
  expect(disk("disk.disks[b].used_percent", "disk.used_percent", "disk.disks[a].used_percent").map(([, label]) => label)).toEqual(["disk", "a", "b"]);
  const many = Array.from({ length: 500 }, (_, i) => `zoo.m${i}`);
  expect(charts(many).length).toBe(48);
  expect(charts(many, new Map(), undefined, Infinity).length).toBe(500); // asked for: all of them, the first ones as before
  expect(charts(many, new Map(), undefined, Infinity).slice(0, 48)).toEqual(charts(many));
});

test("many lines are several charts, each line in one of them", () => {
  const cores = charts(Array.from({ length: 20 }, (_, i) => `cpu.per_core[${i}]`));
  expect(cores.map((c) => [c.id, c.part, c.lines.length])).toEqual([["cores", [1, 8], 8], ["cores 2", [9, 16], 8], ["cores 3", [17, 20], 4]]);
  expect(cores.flatMap((c) => c.lines.map((l) => l.label))).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  expect(charts(Array.from({ length: 8 }, (_, i) => `cpu.per_core[${i}]`)).map((c) => c.part)).toEqual([undefined]);
  const hundreds = Array.from({ length: 500 }, (_, i) => `cpu.per_core[${i}]`);
  expect([charts(hundreds).length, charts(hundreds, new Map(), Infinity).length, charts(hundreds, new Map(), undefined, Infinity).length]).toEqual([48, 63, 48]);
  expect(charts(hundreds, new Map(), Infinity).flatMap((c) => c.lines.map((l) => l.label))).toEqual(hundreds.map((_, i) => String(i)));
  const others = charts([...Array.from({ length: 900 }, (_, i) => `zoo.pens[${i}].lions`), "zoo.visitors"]);
  expect([others.length, others.at(-1)!.id]).toEqual([48, "zoo.visitors"]);
});

test("a machine of one's own is meant before one of others with the same id", () => {
  const right = (owners: string[], who: string | null) => rightOf(owners, (owner) => owner, who === null ? null : { id: "u7", name: who });
  expect(right(["bob", "", "ann"], "ann")).toBe("ann");
  expect(right(["bob", "", "u7"], "ann")).toBe("u7");
  expect(right(["bob", "", "ann"], null)).toBe("");
  expect(right(["bob", "ann"], "eve")).toBe("bob");
  expect(right([], "ann")).toBeUndefined();
});

test("units", () => {
  expect(["cpu.percent", "cpu.per_core[0]", "network.rx_speed", "memory.used", "system.temperatures[x].celsius", "zoo.lions", "a.wait_seconds"].map(unitOf)).toEqual(["%", "%", "B/s", "B", "°C", "", "s"]);
  expect(["web.requests_total", "web.workers_free", "web.total", "web.sent_bytes", "memory.swap_free", "web.rows[x].free"].map(unitOf)).toEqual(["", "", "", "B", "B", "B"]);
  const told = parsePast({ t: [1], series: [{ name: "web.wait", unit: "s" }, { name: "web.odd", unit: "lions" }], v: [[1], [2]] });
  const h = new History();
  h.load(told);
  expect(charts(h.names(), h.units).map((c) => [c.id, c.unit])).toEqual([["web.odd", ""], ["web.wait", "s"]]);
});

test("spans reach as far as there is a past", () => {
  expect(spans("ring", 3600)).toEqual([300, 900, 1800, 3600]);
  expect(spans("", 0).at(0)).toBe(300);
  expect(spans("store", 2 * 86400).at(-1)).toBe(7 * 86400);
  expect(spans("store", 60).length).toBe(3);
  expect(spans("store", 1e9).at(-1)).toBe(365 * 86400);
  expect([allowed(30 * 86400, "store", 0), allowed(30 * 86400, "store", 90 * 86400)]).toEqual([30 * 86400, 30 * 86400]); // survives until it is known
  expect([allowed(30 * 86400, "store", 2 * 86400), allowed(30 * 86400, "ring", 0), allowed(-5, "store", 0)]).toEqual([7 * 86400, 3600, 86400]);
});

test("zooming keeps the middle, and never looks into the future", () => {
  expect(zoomed([0, 100], { factor: 0.5 }, 1000)).toEqual([25, 75]);
  expect(zoomed([900, 1000], { factor: 2 }, 1000)).toEqual([800, 1000]);
  expect(zoomed([900, 1000], { shift: 0.5 }, 1000)).toEqual([900, 1000]);
  expect(zoomed([0, 12], { factor: 0.5 }, 1000)).toEqual([1, 11]);
  expect(zoomed([500, 501], {}, 1000, 900)).toEqual([495.5, 505.5]); // drawn by hand
  expect(zoomed([500, 600], {}, 1000, 900)).toEqual([500, 600]);
});

test("zooming and moving end where the past ends", () => {
  expect(zoomed([900, 1000], { factor: 8 }, 1000, 400)).toEqual([600, 1000]);
  expect(zoomed([610, 650], { shift: -0.5 }, 1000, 400)).toEqual([600, 640]);
  expect(zoomed([600, 1000], { factor: 2 }, 1000, 400)).toEqual([600, 1000]);
  expect(zoomed([200, 1000], { factor: 0.5 }, 1000, 400)).toEqual([600, 1000]);
});

test("a scale of shares ends at 100 % unless there is more", () => {
  expect([scaleEnd(100, 3), scaleEnd(100, 99.9), scaleEnd(100, 100)]).toEqual([100, 100, 100]);
  expect(scaleEnd(100, 200)).toBeCloseTo(216);
  expect([scaleEnd(undefined, 0), scaleEnd(undefined, -5)]).toEqual([1, 1]);
  expect(scaleEnd(undefined, Number.MAX_VALUE) + FARTHEST).toBeLessThan(Infinity);
  for (const chart of charts(["cpu.percent", "zoo.full_percent", "memory.used_percent"])) expect(chart.max).toBe(100);
});
