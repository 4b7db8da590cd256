// SPDX-License-Identifier: ISC
// The rival: a relay as people write it today, with Node, `ws` and mysql2. Usage: rival.js PORT none|lean|released
//   none      stores nothing
//   lean      for each message one look-up of the endpoint and one insert
//   released  and what is beyond the newest 50 is deleted; statistics are written every 5 s or 100 messages
// Statements are prepared once per connection of the pool. The database: DATABASE_URL. `ws` and mysql2: NODE_PATH.
const { randomUUID } = require("crypto");
const { WebSocketServer } = require("ws");

const [port, what] = process.argv.slice(2);
const stores = what !== "none";
const pool = stores ? require("mysql2/promise").createPool({ uri: process.env.DATABASE_URL, connectionLimit: 20 }) : null;

const LOOK_UP =
  "SELECT e.id, e.endpoint_id, e.forwarding_mode, e.custom_header, e.is_disabled, u.banned_at, u.is_active " +
  "FROM endpoints e JOIN users u ON u.id = e.user_id WHERE e.endpoint_id = ?";
const INSERT = "INSERT INTO messages (id, endpoint_id, content, sender_info, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))";
const OLD = "SELECT id FROM messages WHERE endpoint_id = ? ORDER BY created_at DESC LIMIT 100 OFFSET 50";
const DELETE = "DELETE FROM messages WHERE id = ?";
const FIGURES =
  "INSERT INTO endpoint_stats (id, endpoint_id, current_connections, total_connections, total_messages, updated_at) " +
  "VALUES (?, ?, ?, 0, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE current_connections = VALUES(current_connections), " +
  "total_messages = total_messages + VALUES(total_messages), updated_at = VALUES(updated_at)";
const ACTIVE = "UPDATE endpoints SET last_active_at = UTC_TIMESTAMP(3) WHERE id = ?";

const rooms = new Map(); // key → sockets
const pending = new Map(); // row id → messages that its statistics lack
let pendingCount = 0;

async function look_up(key) {
  if (!stores) return { id: key, forwarding_mode: "DIRECT" };
  const [rows] = await pool.execute(LOOK_UP, [key]);
  return rows[0];
}

async function flush() {
  const all = [...pending];
  pending.clear();
  pendingCount = 0;
  for (const [id, [key, count]] of all) {
    await pool.execute(FIGURES, [randomUUID(), id, rooms.get(key)?.size ?? 0, count]);
    await pool.execute(ACTIVE, [id]);
  }
}

async function store(endpoint, key, text, sender) {
  await pool.execute(INSERT, [randomUUID(), endpoint.id, text.length > 5000 ? text.slice(0, 5000) : text, sender]);
  if (what === "lean") return;
  const [old] = await pool.execute(OLD, [endpoint.id]);
  for (const row of old) await pool.execute(DELETE, [row.id]);
  const known = pending.get(endpoint.id);
  if (known) known[1]++;
  else pending.set(endpoint.id, [key, 1]);
  if (++pendingCount >= 100) await flush();
}

function rendered(endpoint, text, parsed) {
  if (endpoint.forwarding_mode === "DIRECT") return text;
  if (endpoint.forwarding_mode === "CUSTOM_HEADER") return endpoint.custom_header + text;
  const wrapped = parsed && typeof parsed === "object" && "type" in parsed && "data" in parsed;
  return JSON.stringify({ type: "message", data: wrapped ? parsed.data : (parsed ?? text), timestamp: Date.now() });
}

async function relay(socket, room, key, data) {
  const text = data.toString();
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  if (parsed?.type === "identify" || parsed?.type === "control_ack") return; // devices are no part of this
  const endpoint = stores ? await look_up(key) : socket.endpoint;
  if (!endpoint || endpoint.is_disabled || endpoint.banned_at) return socket.close(1008);
  const out = rendered(endpoint, text, parsed);
  for (const other of room) if (other !== socket && other.readyState === 1) other.send(out);
  if (stores) await store(endpoint, key, out, socket.name);
}

function failed(error) {
  console.error(error);
  process.exit(1);
}

const server = new WebSocketServer({ port: Number(port), host: "127.0.0.1", perMessageDeflate: false });
server.on("connection", async (socket, request) => {
  const key = /^\/ws\/([\w-]+)/.exec(request.url)?.[1];
  socket.name = `conn-${randomUUID()}`;
  socket.endpoint = await look_up(key).catch(failed);
  if (!socket.endpoint) return socket.close(1008, "Invalid endpoint");
  if (!rooms.has(key)) rooms.set(key, new Set());
  const room = rooms.get(key).add(socket);
  socket.on("message", (data) => relay(socket, room, key, data).catch(failed));
  socket.on("close", () => room.delete(socket));
});
if (what === "released") setInterval(() => flush().catch(failed), 5000);
