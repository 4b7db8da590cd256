// SPDX-License-Identifier: ISC
// node main.js status|machines|relay URL — before Node 22 with `ws` in the place of the WebSocket that browsers have.
import { createRequire } from "node:module";
import { joinRelay, watchMachines, watchStatus } from "./client.js";

globalThis.WebSocket ??= createRequire(import.meta.url)("ws") as typeof WebSocket;
const [what, url = ""] = process.argv.slice(2);
if (what === "status") watchStatus(url, (report) => console.log(report.serverName, report.cpu.percent));
else if (what === "machines") watchMachines(url, process.env["MUSTER_API_KEY"] ?? "", (all) => console.log([...all.values()].map((m) => `${m.name} ${m.status}`).join(", ")));
else if (what === "relay")
  joinRelay(url, {
    opened: (send) => void send({ type: "identify", deviceId: "typed-1" }),
    heard: (message) => console.log(message.type === "message" ? message.data : message),
  });
