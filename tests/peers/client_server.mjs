// Runs JavaScript that a test sends, against npm's socket.io as server; one process serves many tests.
//
// A line of standard input is {code, args}: the body of an async function and its arguments by name, a line of standard
// output {value} or {error}, in the same order; what a handler threw before is an error, too. Besides its arguments the
// code sees `serve(options, setup)`, which starts a server and returns its port, and, where `port` is among the
// arguments, what belongs to that server: `io`, `http`, `log`, `cut`, `leave` and `comeBack`. `setup` is code as well;
// it runs each time that the server starts. Binary values travel as {"$bytes": base64}, both ways.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const AsyncFunction = (async () => {}).constructor;
const served = new Map();

class Served {
  constructor(options, setup) {
    this.options = options;
    this.setup = setup;
    this.log = [];
  }

  async listen(port) {
    this.http = createServer((request, response) => response.writeHead(404).end());
    this.connections = new Set();
    this.http.on("connection", (connection) => {
      this.connections.add(connection);
      connection.on("close", () => this.connections.delete(connection));
    });
    this.io = new Server(this.http, this.options);
    await run(this.setup, this.scope);
    await new Promise((resolve) => this.http.listen(port, "127.0.0.1", resolve));
    this.port = this.http.address().port;
    served.set(this.port, this);
  }

  // Ends, for which nobody waits: its clients are told first.
  leave() {
    this.gone = this.io.close();
  }

  // Is there again, on the same port.
  async comeBack() {
    await this.gone;
    await this.listen(this.port);
  }

  // Every connection is gone at once, as if a cable was pulled. Clients may come back.
  cut() {
    for (const connection of this.connections) connection.destroy();
  }

  get scope() {
    const { io, http, log } = this;
    return { io, http, log, cut: () => this.cut(), leave: () => this.leave(), comeBack: () => this.comeBack() };
  }
}

async function serve(options, setup) {
  const server = new Served(options, setup);
  await server.listen(0);
  return server.port;
}

function run(code, scope) {
  return new AsyncFunction(...Object.keys(scope), code)(...Object.values(scope));
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

const failures = [];
process.on("uncaughtException", (error) => failures.push(error));

for await (const line of createInterface({ input: process.stdin })) {
  const { code, args } = JSON.parse(line, fromJson);
  let answer;
  try {
    if (failures.length) throw failures.shift();
    const value = await run(code, { serve, ...served.get(args.port)?.scope, ...args });
    answer = { value: value === undefined ? null : value };
  } catch (error) {
    answer = { error: `${error?.stack ?? error}` };
  }
  console.log(JSON.stringify(answer, toJson));
}
process.exit();
