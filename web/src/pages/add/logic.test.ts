// SPDX-License-Identifier: ISC
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { agentUrl, joinLines, quoted } from "./logic";

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
  expect(join).toBe("printf %s 'mk_key' | sudo muster-agent --join wss://host/");
  expect(join.split("|")[1]).not.toContain("mk_key");
  expect(start).toBe("sudo systemctl enable --now muster-agent");
  expect(joinLines("k", "wss://host/;reboot")[0]).toContain("'wss://host/;reboot'");
  expect(joinLines("k", "wss://[::1]:5000/")[0]).toContain("'wss://[::1]:5000/'"); // brackets are patterns to some shells
});
