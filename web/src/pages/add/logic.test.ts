// SPDX-License-Identifier: ISC
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { toMachine } from "../../machines";
import { agentUrl, arrived, identity, joinLines, ownHost, quoted } from "./logic";

test("a shell reads back what was quoted, whatever it is", () => {
  for (const text of ["mk_abc-DEF", "a'b", "''", "$(id) `id` \\ \" ! *", "两 行\nzwei", "-n", "%s"]) {
    expect(execFileSync("sh", ["-c", `printf %s ${quoted(text)}`], { encoding: "utf8" }), text).toBe(text);
  }
});

test("the agent connects to where the page came from, unless the operator says otherwise", () => {
  expect(agentUrl("", new URL("https://user:pw@host:8443/muster/?a#/add"))).toBe("wss://host:8443/muster/");
  expect(agentUrl("", new URL("http://127.0.0.1:8900/"))).toBe("ws://127.0.0.1:8900/");
  expect(agentUrl("wss://agents.example:5000/", new URL("https://host/"))).toBe("wss://agents.example:5000/");
  for (const odd of ["https://x/", "wss://x/ y", "javascript:1"]) expect(agentUrl(odd, new URL("https://host/")), odd).toBe("wss://host/");
});

test("the key goes to standard input and stands in no argument of the agent", () => {
  const [join, start] = joinLines("mk_key", "wss://host/");
  expect(join).toBe("printf %s 'mk_key' | sudo muster-agent -c /etc/muster/agent.conf --join wss://host/");
  expect(join.split("|")[1]).not.toContain("mk_key");
  expect(start).toBe("sudo systemctl enable --now muster-agent");
  expect(joinLines("k", "wss://host/;reboot")[0]).toContain("'wss://host/;reboot'");
  expect(joinLines("k", "wss://[::1]:5000/")[0]).toContain("'wss://[::1]:5000/'"); // brackets are patterns to some shells
});

test("an address that only the machine itself can use", () => {
  for (const url of ["ws://localhost:8900/", "ws://127.0.0.1/", "ws://127.1.2.3:1/", "ws://[::1]:8900/", "wss://muster.localhost/", "ws://0.0.0.0:1/"]) expect(ownHost(url), url).not.toBeNull();
  for (const url of ["wss://host/", "ws://10.0.0.1/", "ws://localhost.example.org/", "ws://127.example.org/", "ws://[fe80::1]/"]) expect(ownHost(url), url).toBeNull();
});

test("only one of the user's own machines arrives, and only one that was not there", () => {
  const machine = (id: string, owner: string, online = true, name = "") => toMachine({ key: `k-${id}-${owner}`, id, owner, online, name });
  const ann = { id: "u-1", name: "ann" };
  const before = new Set([identity(machine("old", "ann"))]);
  const seen = (list: ReturnType<typeof machine>[], key = "new") => arrived(list, before, ann, key)?.id;
  expect(seen([machine("old", "ann"), machine("operators", ""), machine("others", "bob"), machine("mine", "ann", false)])).toBeUndefined();
  expect(seen([machine("others", "bob"), machine("mine", "ann")])).toBe("mine");
  expect(seen([machine("mine", "u-1")])).toBe("mine"); // of who has no name
  expect(seen([machine("other", "ann"), machine("x", "ann", true, "new")])).toBe("x"); // the one that the key is called after
  expect(seen([toMachine({ key: "after-a-restart", id: "old", owner: "ann", online: true })])).toBeUndefined(); // another key, the same machine
});
