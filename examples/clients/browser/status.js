// SPDX-License-Identifier: ISC
// Server-status: every public machine, as its newest report. `changed` gets a Map of machines by serverId.
import { connect } from "./connect.js";

export function watchStatus(url, changed, state) {
  const machines = new Map();
  return connect(url, {
    state,
    opened: () => machines.clear(), // each machine's newest report comes again
    heard(text) {
      const message = JSON.parse(text);
      if (message.type === "server_status_update") for (const m of message.data) machines.set(m.id, m); // push = "snapshot"
      else if (message.serverId) machines.set(message.serverId, message); // push = "report"
      changed(machines);
    },
  });
}
