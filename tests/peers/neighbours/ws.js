// What ws makes of the rows on stdin: `node ws.js ROOT`, where ROOT/node_modules/ws is.
'use strict';

const { readFileSync } = require('fs');
const path = require('path');

const lib = path.join(process.argv[2], 'node_modules', 'ws', 'lib');
const PerMessageDeflate = require(path.join(lib, 'permessage-deflate'));
const Receiver = require(path.join(lib, 'receiver'));
const extension = require(path.join(lib, 'extension'));
const subprotocol = require(path.join(lib, 'subprotocol'));

const hex = (data) => 'hex:' + Buffer.from(data).toString('hex');

// How the options of ws are called in a row.
const OPTIONS = {
  server_no_context_takeover: 'serverNoContextTakeover',
  client_no_context_takeover: 'clientNoContextTakeover',
  server_max_window_bits: 'serverMaxWindowBits',
  client_max_window_bits: 'clientMaxWindowBits'
};

function orNull(call) {
  try {
    return call();
  } catch {
    return null;
  }
}

// What one Receiver emits for the input of a row.
async function connection(row) {
  const isServer = row.role === 'server';
  const extensions = {};
  if (row.deflate) {
    const deflate = new PerMessageDeflate({ isServer });
    deflate.accept([{}]);
    extensions['permessage-deflate'] = deflate;
  }
  const receiver = new Receiver({ isServer, extensions, maxPayload: row.max || 0 });
  const events = [];
  receiver.on('message', (data, isBinary) => events.push([isBinary ? 'binary' : 'text', hex(data)]));
  receiver.on('ping', (data) => events.push(['ping', hex(data)]));
  receiver.on('pong', (data) => events.push(['pong', hex(data)]));
  receiver.on('conclude', (code, reason) => events.push(['close', code, hex(reason)]));
  receiver.on('error', (error) => {
    const status = Object.getOwnPropertySymbols(error).find((symbol) => symbol.description === 'status-code');
    events.push(['fail', error[status]]);
  });
  for (const [, data] of row.do) {
    if (!receiver.destroyed) receiver.write(Buffer.from(data, 'hex'));
  }
  // Messages may be emitted in later ticks, and inflating takes a thread.
  await new Promise((resolve) => setTimeout(resolve, row.deflate ? 100 : 5));
  return events;
}

function configured(row, isServer) {
  const options = { isServer };
  for (const [name, value] of Object.entries(row.config)) {
    if (value !== null) options[OPTIONS[name]] = value;
  }
  return new PerMessageDeflate(options);
}

function listed(offers) {
  return Object.entries(offers).flatMap(([name, all]) =>
    all.map((parameters) => [
      name,
      Object.entries(parameters).flatMap(([key, values]) =>
        values.map((value) => [key, value === true ? null : value])
      )
    ])
  );
}

function offer(row) {
  return orNull(() => {
    const agreed = configured(row, true).accept(extension.parse(row.text)['permessage-deflate']);
    return Object.entries(agreed)
      .map(([name, value]) => (value === true ? name : `${name}=${value}`))
      .sort();
  });
}

function answer(row) {
  return orNull(() => {
    configured(row, false).accept(extension.parse(row.text)['permessage-deflate']);
    return 'accepted';
  }) || 'refused';
}

const KINDS = {
  connection,
  offer,
  answer,
  extensions: (row) => orNull(() => listed(extension.parse(row.text))),
  subprotocols: (row) => orNull(() => [...subprotocol.parse(row.text)])
};

const rows = JSON.parse(readFileSync(0, 'utf8'));
Promise.all(rows.map((row) => KINDS[row.kind](row))).then((results) => process.stdout.write(JSON.stringify(results)));
