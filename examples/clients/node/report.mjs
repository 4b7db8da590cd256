// SPDX-License-Identifier: ISC
// Server-status, as an agent: node report.mjs wss://host/ws-report ID — with the secret in MUSTER_SECRET. Needs `ws`.
import os from "node:os";
import WebSocket from "ws";

const [url, id] = process.argv.slice(2);
const headers = { "X-SERVER-ID": id, "X-AUTH-SECRET": process.env.MUSTER_SECRET };
let attempt = 0, least = 0, before = os.cpus();

function report() {
  const now = os.cpus();
  const sum = (list, kinds) => list.reduce((all, { times }) => all + kinds.reduce((s, k) => s + times[k], 0), 0);
  const passed = (kinds) => sum(now, kinds) - sum(before, kinds);
  const all = passed(["user", "nice", "sys", "irq", "idle"]);
  const percent = all > 0 ? 100 - (100 * passed(["idle"])) / all : 0;
  before = now;
  const total = os.totalmem(), available = os.freemem(), used = total - available;
  return {
    serverId: id,
    serverName: os.hostname(),
    cpu: { percent, cores: now.length, modelName: now[0]?.model ?? "" },
    memory: { total, used, available, usedPercent: (100 * used) / total },
    disk: [],
    network: { interfaceName: "", bytesSent: 0, bytesRecv: 0, inSpeed: 0, outSpeed: 0 },
    system: { hostname: os.hostname(), os: os.platform(), platform: os.type(), arch: os.arch(), kernel: os.release(), uptime: Math.floor(os.uptime()) },
    timestamp: Math.floor(Date.now() / 1000),
  };
}

function connect() {
  const socket = new WebSocket(url, { headers });
  let timer, pinging, settled, answered = true;
  socket.on("unexpected-response", (_, answer) => {
    console.error("refused:", answer.statusCode);
    if (answer.statusCode === 401) process.exit(77); // id or secret is wrong: trying again does not help. 503 does.
    least = Number(answer.headers["retry-after"]) || 0;
    socket.terminate();
  });
  socket.on("open", () => {
    settled = setTimeout(() => (attempt = 0), 10_000);
    const send = () => socket.send(JSON.stringify(report()));
    send();
    timer = setInterval(send, 5000);
    pinging = setInterval(() => {
      if (!answered) return socket.terminate();
      answered = false;
      socket.ping();
    }, 30_000);
  });
  socket.on("pong", () => (answered = true));
  socket.on("error", (error) => console.error(error.message));
  socket.on("close", (code) => {
    [timer, pinging].forEach(clearInterval);
    clearTimeout(settled);
    if (code === 4009) process.exit(1); // the same id reports from somewhere else, too
    const wait = Math.max(least * 1000, Math.min(30_000, 1000 * 2 ** attempt++)) * (1 + Math.random() / 2);
    least = 0;
    setTimeout(connect, wait);
  });
}
connect();
