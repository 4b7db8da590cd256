// SPDX-License-Identifier: ISC
// Session, as an agent: node agent.mjs wss://host/ MACHINE — with the API key in MUSTER_API_KEY. Needs `ws` (npm install ws).
import { randomUUID } from "node:crypto";
import os from "node:os";
import WebSocket from "ws";

const [url, machineId = os.hostname()] = process.argv.slice(2);
const apiKey = process.env.MUSTER_API_KEY;
const boot = randomUUID(); // this run: with `seq` it names each sample
let seq = 0, kept = [], durable = true; // `kept`: samples that the server has not stored yet, where it stores any
let token = null, socket, attempt = 0, least = 0, authenticated = false;

const say = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
const authenticate = () => say(token ? { type: "auth", sessionToken: token } : { type: "auth", apiKey, machineId });

function heard(message) {
  switch (message.type) {
    case "auth_success": {
      const { lastAck } = message;
      ({ sessionToken: token, durable } = message);
      [authenticated, attempt] = [true, 0];
      kept = durable ? kept.filter((sample) => lastAck?.boot !== boot || sample.seq > lastAck.seq) : [];
      say({ type: "system_info", hostname: os.hostname(), os: os.platform(), arch: os.arch(), kernel: os.release(), cpu: os.cpus().length, ram: os.totalmem() });
      kept.forEach(say); // again what came after the last stored one
      return console.log("connected as", message.machineId);
    }
    case "auth_failed":
      console.error(message.code, message.message);
      least = message.retryAfter ?? 0;
      if (message.code === "token_expired" || message.code === "token_invalid") {
        token = null;
        return authenticate(); // on this connection, with the key
      }
      if (message.code === "invalid_api_key") console.error("forget this key"); // no other code says that it is wrong
      return; // what cannot go on is closed by the server
    case "ping":
      return say({ type: "pong" });
    case "ack":
      if (message.boot === boot) while (kept[0]?.seq <= message.seq) kept.shift();
      return;
    case "machine_deleted":
      console.error(message.message);
      return; // close 4003 follows
    case "data":
      return console.log("told:", message.payload);
    case "error":
      console.error(message.code, message.message);
  }
}

function connect() {
  let dead;
  authenticated = false;
  socket = new WebSocket(url, { maxPayload: 1 << 20 });
  const alive = () => {
    clearTimeout(dead);
    dead = setTimeout(() => socket.terminate(), 75_000); // the server says something every 30 s
  };
  alive();
  socket.on("unexpected-response", (_, answer) => {
    console.error("refused:", answer.statusCode);
    if (answer.statusCode === 401) process.exit(77); // a proxy's, not the session's; trying again does not help, with 429 and 503 it does
    least = Number(answer.headers["retry-after"]) || 0;
    socket.terminate();
  });
  socket.on("open", authenticate);
  socket.on("message", (data) => {
    alive();
    heard(JSON.parse(data));
  });
  socket.on("error", (error) => console.error(error.message)); // "close" follows
  socket.on("close", (code, reason) => {
    clearTimeout(dead);
    authenticated = false;
    console.error(`closed: ${code} ${reason}`);
    // Refused, the machine was deleted, or another connection of this machineId took over: waiting does not change that.
    if ([1008, 4002, 4003, 4009].includes(code)) process.exit(77);
    if (code === 4010) token = null; // it was taken back, or has expired: the key may still be good
    const wait = Math.max(least * 1000, Math.min(30_000, 1000 * 2 ** attempt++)) * (1 + Math.random() / 2);
    least = 0;
    setTimeout(connect, wait);
  });
}

const EVERY = Number(process.env.EVERY ?? 5000);
setInterval(() => {
  const [load1, load5, load15] = os.loadavg();
  const total = os.totalmem(), used = total - os.freemem();
  const metrics = { cpu: { load1, load5, load15 }, memory: { total, used, used_percent: (100 * used) / total }, system: { uptime: Math.floor(os.uptime()) } };
  const sample = { type: "data", boot, seq: ++seq, timestamp: Date.now(), metrics };
  if (authenticated) say(sample);
  if (!authenticated || durable) kept.push(sample);
  if (kept.length > 1000) kept.shift(); // bounded: the oldest goes
}, EVERY);
setInterval(() => authenticated && say({ type: "heartbeat" }), 600_000);
connect();
