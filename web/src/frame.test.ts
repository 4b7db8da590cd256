// SPDX-License-Identifier: ISC
import { expect, test } from "vitest";
import { ApiError, errorOf, isAway } from "./api";
import { details, othersOf, summary } from "./figures";
import { backOff, pause } from "./live";
import { readLogin, returnPath } from "./pages/login/logic";
import { parts, whole } from "./pages/status/window";
import { href, match, parsePlace } from "./router";
import { parseSession } from "./session";
import { parseSite } from "./site";

test("addresses", () => {
  expect(parsePlace("").path).toBe("/");
  expect(parsePlace("#/relay/x/?a=b%20c").path).toBe("/relay/x");
  expect(parsePlace("#/a?to=%2Fb").query.get("to")).toBe("/b");
  expect(match("/machine/:id", "/machine/a%20b%2Fc")).toEqual({ id: "a b/c" });
  for (const not of ["/machine", "/machine/", "/machine/a/b", "/machine/%zz", "/x/a"]) expect(match("/machine/:id", not)).toBeNull();
  expect(href("/machine/1", { key: "a&b" })).toBe("#/machine/1?key=a%26b");
});

test("after the login one stays within the console", () => {
  for (const bad of [null, "", "//evil.example", "https://evil.example", "javascript:alert(1)", "/login", "/login?to=/"]) expect(returnPath(bad)).toBe("/");
  expect(returnPath("/relay/x")).toBe("/relay/x");
});

test("a login's answer", () => {
  expect(readLogin({ data: { token: "t", user: { id: 1, username: "ann", is_admin: true } } })).toEqual({ token: "t", user: { id: "1", name: "ann", role: "admin" } });
  for (const bad of [undefined, null, {}, { data: {} }, { data: { token: "", user: {} } }, { data: { token: 5, user: {} } }]) expect(readLogin(bad)).toBeNull();
});

test("a session that storage gives back broken is none", () => {
  for (const bad of [null, "", "{", "5", "null", '{"token":1}', '{"token":"t"}', '{"token":"t","user":{"name":5}}']) expect(parseSession(bad)).toBeNull();
  expect(parseSession('{"token":"t","user":{"id":"1","name":"ann","role":"root"}}')!.user.role).toBe("user");
});

test("errors of all three forms", () => {
  expect(errorOf(400, { error: { code: "VALIDATION_ERROR", message: "m", details: [{ field: "a", message: "b" }, 5], requestId: "r" } })).toMatchObject({ status: 400, code: "VALIDATION_ERROR", message: "m", details: [{ field: "a", message: "b" }], requestId: "r" });
  expect(errorOf(404, { error: "text" })).toMatchObject({ code: "HTTP_404", message: "text" });
  expect(errorOf(401, { code: "unauthorized", message: "m" })).toMatchObject({ code: "unauthorized", message: "m" });
  for (const odd of [undefined, null, 5, "x", []]) expect(errorOf(502, odd)).toMatchObject({ code: "HTTP_502", message: "" });
});

test("a server that is away is told from one that says no", () => {
  for (const away of [new ApiError(0, "NO_ANSWER", ""), new ApiError(200, "NO_ANSWER", ""), errorOf(502, undefined), errorOf(503, {}), errorOf(504, "x")]) expect(isAway(away)).toBe(true);
  for (const other of [undefined, new Error("x"), new ApiError(0, "ABORTED", ""), errorOf(401, {}), errorOf(403, {}), errorOf(500, {}), errorOf(503, { error: { code: "SERVICE_UNAVAILABLE", message: "" } }), errorOf(503, { error: "text" })]) expect(isAway(other)).toBe(false);
});

test("a site that says nothing has the machines and nothing else", () => {
  for (const odd of [null, {}, [], { pages: 5 }]) expect(parseSite(odd)).toMatchObject({ status: "open", login: false, pages: { status: true, relay: false, history: "" }, missing: {} });
  expect(parseSite({ status: "login", login: true, pages: { relay: true, history: "ring" }, missing: { a: "b", c: 5 } })).toMatchObject({ status: "login", login: true, pages: { relay: true, history: "ring" }, missing: { a: "b" } });
});

test("it comes back soon at first, then less often, and not all at once", () => {
  expect(backOff(0, 0.5)).toBe(500);
  for (let n = 0; n < 100; n++) expect(backOff(n, 1)).toBeLessThanOrEqual(19_500);
  expect(backOff(5, 0)).not.toBe(backOff(5, 1));
});

test("who is told to wait waits so long", () => {
  expect(pause(new ApiError(429, "TOO_MANY", "", [], "", 20), 0, 0)).toBe(20_000);
  expect(pause(new ApiError(429, "TOO_MANY", "", [], "", 20), 0, 1)).toBeGreaterThan(20_000);
  expect(pause(new ApiError(503, "AWAY", ""), 3, 0.5)).toBe(backOff(3, 0.5));
  expect(pause(new ApiError(0, "NO_ANSWER", ""), 40, 0.5)).toBe(15_000);
  expect(pause(new ApiError(503, "AWAY", "", [], "", 1e9), 0, 0)).toBe(300_000); // nobody is sent away for years
});

test("figures of any kind", () => {
  const s = summary({ cpu: { percent: "much", cores: {} }, memory: { used_percent: 1e300, total: -4, swap_total: 0, swap_used_percent: 0 }, network: { rx_speed: -1 }, system: { uptime: [] } });
  expect([s.cpu, s.cores, s.memory, s.memoryTotal, s.swap, s.rx, s.uptime]).toEqual([undefined, undefined, undefined, undefined, undefined, undefined, undefined]);
  const d = details(JSON.parse('{"disk":{"disks":[null,3,{"path":{},"used_percent":5}]},"cpu":{"per_core":[1,"2",null]},"__proto__":{"x":1},"zoo":{"a":1},"text":"x"}'));
  expect(d.disks).toHaveLength(1);
  expect(d.disks[0]).toMatchObject({ name: "", percent: 5 });
  expect(d.perCore).toEqual([1]);
  expect(d.others.map(([name]) => name)).toEqual(["__proto__", "zoo"]);
  expect(othersOf({ cpu: { percent: 1 }, zoo: { lions: 3, text: "x" }, ups: { charge: 5 }, odd: [1], none: null } as never)).toBe(3);
});

test("of a long list only what is near the screen is drawn, and its height is that of all", () => {
  const shape = { head: 50, item: 100, gap: 10, columns: 3, after: 0 };
  const counts = [7, 0, 300];
  const height = (list: ReturnType<typeof parts>) =>
    list.reduce((sum, part, i) => {
      const lines = Math.ceil((part.to - part.from) / shape.columns);
      const all = Math.ceil(counts[i]! / shape.columns);
      return sum + part.before + part.behind + lines * 110 - all * 110; // nothing over or under
    }, 0);
  for (const [top, bottom] of [[-500, 800], [0, 0], [3000, 4000], [1e6, 1e6 + 100], [-1e6, 1e6]] as const) {
    const list = parts(counts, shape, top, bottom);
    expect(height(list)).toBe(0);
    for (const [i, part] of list.entries()) expect(part.from >= 0 && part.to <= counts[i]! && part.from <= Math.max(part.to, part.from)).toBe(true);
  }
  expect(parts(counts, shape, 3000, 4000)[2]!.to - parts(counts, shape, 3000, 4000)[2]!.from).toBeLessThan(40);
  expect(parts(counts, shape, -1e6, 1e6)).toEqual(whole(counts).map((p) => p));
});
