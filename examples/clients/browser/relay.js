// SPDX-License-Identifier: ISC
// Relay: what one says at an endpoint's address, all the others there hear. As a device it also gets commands.
// The endpoint's token (access "token") goes into a subprotocol, because pages cannot send headers.
import { connect } from "./connect.js";

export function joinRelay(url, { token, deviceId, deviceName, heard, command, state }) {
  return connect(url, {
    protocols: token ? [`muster.token.${token}`] : [],
    state,
    opened: (send) => deviceId && send({ type: "identify", deviceId, deviceName }),
    heard(data, send) {
      const message = parsed(data);
      if (message?.type === "system") return console.warn(message.message); // why the close that follows
      if (message?.type === "identified") return;
      if (message?.type !== "control" || !command) return heard?.(message ?? data);
      let done = { status: "success" };
      try {
        command(message.command, message.params);
      } catch (error) {
        done = { status: "failed", message: String(error) };
      }
      send({ type: "control_ack", commandId: message.commandId, ...done }); // within 5 s
    },
  });
}

/** Mode JSON wraps every message as {type: "message", data, timestamp}; DIRECT passes on whatever was sent, JSON or not. */
function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
