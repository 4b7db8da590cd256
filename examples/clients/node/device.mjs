// SPDX-License-Identifier: ISC
// Relay, as a device: node device.mjs wss://host/ws/ENDPOINT DEVICE — with the endpoint's token, if it has one, in ENDPOINT_TOKEN. Needs `ws`.
import WebSocket from "ws";

const [url, deviceId] = process.argv.slice(2);
const token = process.env.ENDPOINT_TOKEN;
let attempt = 0, least = 0, light = false;

const commands = {
  setLight({ on }) {
    light = Boolean(on);
  },
};

function connect() {
  const socket = new WebSocket(url, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  const say = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  let dead, reporting, settled;
  const alive = () => {
    clearTimeout(dead);
    dead = setTimeout(() => socket.terminate(), 45_000); // the server pings every 15 s; `ws` answers by itself
  };
  alive();
  socket.on("ping", alive);
  socket.on("unexpected-response", (_, answer) => {
    console.error("refused:", answer.statusCode);
    if (answer.statusCode === 401) process.exit(77); // trying again does not help; with 429 and 503 it does
    least = Number(answer.headers["retry-after"]) || 0;
    socket.terminate();
  });
  socket.on("open", () => {
    settled = setTimeout(() => (attempt = 0), 10_000); // refusals come after the handshake
    say({ type: "identify", deviceId, deviceName: "A lamp" });
    reporting = setInterval(() => say({ type: "data", data: { light, temperature: 21.5 } }), Number(process.env.EVERY ?? 10_000));
  });
  socket.on("message", (data, binary) => {
    alive();
    if (binary) return console.log("binary:", data.length);
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return console.log("text:", String(data)); // mode DIRECT or CUSTOM_HEADER
    }
    if (message.type === "identified") console.log("identified as", message.customName);
    else if (message.type === "system") console.error(message.message);
    else if (message.type === "message") console.log("heard:", JSON.stringify(message.data));
    else if (message.type === "control") {
      const run = commands[message.command];
      let said;
      try {
        if (!run) throw new Error(`unknown command ${message.command}`);
        run(message.params);
      } catch (error) {
        said = error.message;
      }
      say({ type: "control_ack", commandId: message.commandId, status: said ? "failed" : "success", message: said });
    }
  });
  socket.on("error", (error) => console.error(error.message));
  socket.on("close", (code, reason) => {
    [dead, settled].forEach(clearTimeout);
    clearInterval(reporting);
    console.error(`closed: ${code} ${reason}`);
    if (code === 1008) process.exit(77); // no such endpoint, disabled, banned, refused: waiting does not change that
    const wait = Math.max(least * 1000, Math.min(30_000, 1000 * 2 ** attempt++)) * (1 + Math.random() / 2);
    least = 0;
    setTimeout(connect, wait);
  });
}
connect();
