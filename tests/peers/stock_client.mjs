// Runs JavaScript that a test sends, against the stock socket.io-client; one process serves a whole test run.
//
// A line of standard input is {id, code, args}: the body of an async function and its arguments by name, a line of
// standard output {id, value} or {id, error}, and before that {id, told} for each value that the code gives to `tell`.
// Besides that and its arguments the code sees `io`, `eio` (engine.io-client) and the helpers below. Sockets that it
// makes with `io` are closed when it is done. Binary values travel as {"$bytes": base64}, both ways.
import { Agent } from "node:http";
import { connect as connectSocket } from "node:net";
import { createInterface } from "node:readline";
import { Socket as eio } from "engine.io-client";
import { io as connect } from "socket.io-client";

const AsyncFunction = (async () => {}).constructor;

// The arguments of the next event of that name.
function next(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// Waits until a socket is connected, and returns it; a refusal is thrown.
async function opened(socket) {
  if (!socket.connected) {
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    });
  }
  return socket;
}

// Waits until the connection of a socket has moved to WebSocket.
async function upgraded(socket) {
  const engine = socket.io.engine;
  if (engine.transport.name !== "websocket") {
    await next(engine, "upgrade");
  }
  return socket;
}

// Collects the first argument of the next `count` events of that name.
function gather(emitter, event, count) {
  return new Promise((resolve) => {
    const values = [];
    emitter.on(event, (value) => values.push(value) === count && resolve(values));
    if (count === 0) resolve(values);
  });
}

// Connects once it is released: as `agent` of the WebSocket transport it puts an upgrade off.
class HeldAgent extends Agent {
  constructor() {
    super();
    this.released = new Promise((resolve) => (this.release = resolve));
  }

  createConnection(options, done) {
    this.released.then(() => done(null, connectSocket(options)));
  }
}

function toJson(key, value) {
  const original = this[key];
  if (original instanceof Uint8Array || original instanceof ArrayBuffer) {
    return { $bytes: Buffer.from(original).toString("base64") };
  }
  return value;
}

function fromJson(key, value) {
  return value !== null && typeof value === "object" && "$bytes" in value ? Buffer.from(value.$bytes, "base64") : value;
}

const HELPERS = { next, sleep, opened, upgraded, gather, HeldAgent };

async function run({ id, code, args }) {
  const sockets = [];
  const io = (...all) => {
    const socket = connect(...all);
    sockets.push(socket);
    return socket;
  };
  const tell = (told) => console.log(JSON.stringify({ id, told }, toJson));
  const scope = { ...HELPERS, io, eio, tell, ...args };
  let answer;
  try {
    const value = await new AsyncFunction(...Object.keys(scope), code)(...Object.values(scope));
    answer = { id, value: value === undefined ? null : value };
  } catch (error) {
    answer = { id, error: `${error?.stack ?? error}` };
  }
  for (const socket of sockets) {
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  }
  console.log(JSON.stringify(answer, toJson));
}

createInterface({ input: process.stdin })
  .on("line", (line) => run(JSON.parse(line, fromJson)))
  .on("close", () => process.exit());
