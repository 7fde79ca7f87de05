// What a user of socket.io-client sees of `socketio_app.py`, as one line of JSON.
//
//     node socketio_client.mjs PORT OPTIONS
//
// OPTIONS are those of `io()`, as JSON: {"transports": ["websocket"]}, say.

import { io } from "socket.io-client";

const [port, options] = process.argv.slice(2);
const uri = `http://127.0.0.1:${port}`;
const common = { ...JSON.parse(options), reconnection: false, forceNew: true };
const told = (socket, event) => new Promise(resolve => socket.once(event, (...values) => resolve(values)));
const plain = value => (value instanceof Uint8Array ? { bytes: [...value] } : value);
const seen = {};

const socket = io(uri, common);
await told(socket, "connect");
if (socket.io.engine.transport.name === "polling") await told(socket.io.engine, "upgrade");
seen.transport = socket.io.engine.transport.name;
seen.seenByServer = await socket.emitWithAck("transport");

const echo = told(socket, "echo");
seen.ack = (await socket.emitWithAck("echo", "häßlich 🙂", Uint8Array.of(0, 255), { n: 1 })).map(plain);
seen.echo = (await echo).map(plain);
seen.large = await Promise.all(
  [200_000, 1, 50_000].map(async size => {
    const [text, data] = await socket.emitWithAck("echo", "x".repeat(size), new Uint8Array(size));
    return [text.length, data.length];
  }),
);
const many = await Promise.all(Array.from({ length: 100 }, (_, n) => socket.emitWithAck("echo", n)));
seen.inOrder = many.every(([n], at) => n === at);

socket.emit("fail");
seen.afterFailure = await socket.emitWithAck("echo", "still here");

const left = told(socket, "disconnect");
socket.emit("leave");
seen.left = (await left)[0];

const refused = io(uri, { ...common, auth: { token: "wrong" } });
const [error] = await told(refused, "connect_error");
seen.refused = [error.message, error.data];
refused.close();

const leaving = io(uri, common);
await told(leaving, "connect");
await leaving.emitWithAck("echo", "hello");
leaving.disconnect();

console.log(JSON.stringify(seen));
