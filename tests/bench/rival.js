// SPDX-License-Identifier: ISC
// The rival: what people write today. Node `ws`, JSON.parse, a map, and send() to every page.
const http = require("http");
const { WebSocketServer } = require("ws");

const newest = new Map();
const pages = new Set();
const server = http.createServer((request, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on("connection", (socket, request) => {
  if (request.url.startsWith("/ws-frontend")) {
    pages.add(socket);
    socket.on("close", () => pages.delete(socket));
    return;
  }
  const id = request.headers["x-server-id"];
  socket.on("message", (data) => {
    const text = data.toString();
    const report = JSON.parse(text);
    if (report.serverId !== id || typeof report.cpu.percent !== "number") return;
    newest.set(id, { report, at: Date.now() });
    for (const page of pages) page.send(text);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
