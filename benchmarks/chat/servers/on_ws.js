// The chat on ws, for Node.js. Usage: node on_ws.js PORT
"use strict";

const { WebSocket, WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 1024 });

server.on("connection", (client) => {
  client.on("error", () => {});
  client.on("message", (data, isBinary) => {
    for (const other of server.clients) {
      if (other !== client && other.readyState === WebSocket.OPEN) {
        other.send(data, { binary: isBinary });
      }
    }
  });
});
