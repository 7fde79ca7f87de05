// A client of JavaScript: says each message when the one before has come back, and tells what came of it as JSON.
//
//   node talk.mjs ws URL              the package `ws`
//   node talk.mjs undici URL          the package `undici`
//   node talk.mjs own URL             the runtime's own WebSocket: Node's, Bun's, Deno's
//   node talk.mjs plain URL           `ws` without compression
//
// The messages are those of `messages()` in ../test_every_client.py.

const [kind, url] = process.argv.slice(2);

const text = "compress me, é漢🙂, ".repeat(100);
const bytes = new Uint8Array(100000).map((_, at) => (at * at) >> 8);
const messages = [text, text, "", "short", text + "!", bytes, text, bytes, new Uint8Array(0), new Uint8Array(100000)];

async function open() {
    if (kind === "ws" || kind === "plain") {
        const {WebSocket} = await import("ws");
        return kind === "ws" ? new WebSocket(url) : new WebSocket(url, {perMessageDeflate: false});
    }
    if (kind === "undici") {
        const {WebSocket} = await import("undici");
        return new WebSocket(url);
    }
    return new globalThis.WebSocket(url);
}

const ws = await open();
ws.binaryType = "arraybuffer";

function next(name) {
    return new Promise((resolve, reject) => {
        ws.addEventListener(name, resolve, {once: true});
        ws.addEventListener("error", (event) => reject(new Error(`error: ${event.message}`)), {once: true});
        ws.addEventListener("close", ({code, reason}) => reject(new Error(`closed: ${code} ${reason}`)), {once: true});
    });
}

function isSame(sent, data) {
    if (typeof sent === "string") {
        return sent === data;
    }
    const got = new Uint8Array(data);
    return got.length === sent.length && got.every((byte, at) => byte === sent[at]);
}

await next("open");
let equal = 0;
for (const message of messages) {
    const answer = next("message");
    ws.send(message);
    equal += isSame(message, (await answer).data) ? 1 : 0;
}
const closed = new Promise((resolve) => ws.addEventListener("close", resolve, {once: true}));
ws.close(1000, "done");
const {code} = await closed;
console.log(JSON.stringify({equal, code, extensions: ws.extensions}));
process.exit(0);
