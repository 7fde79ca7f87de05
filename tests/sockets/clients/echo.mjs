// A server of JavaScript that sends each message back. It prints its port.
//
//   node echo.mjs          the package `ws`, with compression
//   bun echo.mjs           Bun's own server, with compression

if (typeof Bun === "object") {
    const server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no WebSocket", {status: 400})),
        websocket: {perMessageDeflate: true, message: (ws, message) => void ws.send(message, true)},
    });
    console.log(server.port);
} else {
    const {WebSocketServer} = await import("ws");
    const server = new WebSocketServer({port: 0, host: "127.0.0.1", perMessageDeflate: {threshold: 0}});
    server.on("connection", (ws) => ws.on("message", (data, binary) => ws.send(data, {binary})));
    server.on("listening", () => console.log(server.address().port));
}
