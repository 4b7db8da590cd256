// SPDX-License-Identifier: ISC
// Session, as an admin: the machines of the user whose API key this is. `changed` gets a Map of machines by machineId.
import { connect } from "./connect.js";

export function watchMachines(url, apiKey, changed, state) {
  const machines = new Map();
  return connect(url, {
    state,
    silence: 75_000, // the server says {"type":"ping"} every 30 s
    opened: (send) => send({ type: "auth", apiKey, scope: "admin" }),
    heard(text, send) {
      const message = JSON.parse(text);
      switch (message.type) {
        case "ping":
          return void send({ type: "pong" });
        case "auth_success":
          return void send({ type: "admin_connect", token: message.sessionToken });
        case "auth_failed": // only "invalid_api_key" says that the key is bad; "unavailable" and "rate_limited" say when to come back
        case "admin_failed":
        case "error":
          console.warn(message.code, message.message);
          return { retryAfter: message.retryAfter };
        case "machine_list":
          machines.clear();
          for (const machine of message.machines) machines.set(machine.machineId, machine);
          return changed(machines);
        case "machine_update":
          if (message.event === "deleted") machines.delete(message.machine.machineId);
          else machines.set(message.machine.machineId, message.machine);
          return changed(machines);
      }
    },
  });
}
