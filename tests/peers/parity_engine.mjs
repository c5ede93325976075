// Serves the reference implementation once for each set of options in the first argument, a JSON object by name, and
// prints their ports as a JSON object; then runs until it is killed. What happened is logged by each server; GET /log
// returns that as JSON and forgets it. tests/interop/test_parity_engine.py has the same application in Python.
import { createServer } from "node:http";
import { Server } from "socket.io";

const HOOKS = {
  refusing: (options) => {
    options.allowRequest = (request, done) => done("members only", false);
  },
  forbidding: (options) => {
    options.allowRequest = (request, done) => done(null, false);
  },
};

const serve = (name, options) =>
  new Promise((resolve) => {
    let log = [];
    HOOKS[name]?.(options);
    const http = createServer((request, response) => {
      const mine = request.url === "/log";
      const body = JSON.stringify(mine ? log : null);
      if (mine) log = [];
      response.writeHead(mine ? 200 : 404, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
      response.end(body);
    });
    const io = new Server(http, { serveClient: false, ...options });
    const engine = io.engine;
    if (name === "failing") engine.use((request, response, next) => next(new Error("no")));
    if (name === "middleware") {
      engine.use((request, response, next) => {
        response.setHeader("X-Mine", request.method);
        next();
      });
    }
    engine.on("connection_error", ({ code, message, context }) => {
      const { error, ...rest } = context ?? {};
      log.push(["refused", code, message, rest]);
    });
    for (const event of ["initial_headers", "headers"]) {
      engine.on(event, (headers, request) => log.push([event, request.method, request._query.transport]));
    }
    io.use(({ conn }, next) => {
      for (const event of ["upgrading", "upgrade"]) conn.on(event, (transport) => log.push([event, transport.name]));
      conn.on("packet", ({ type, data }) => log.push(["packet", type, data?.toString() ?? ""]));
      conn.on("heartbeat", () => log.push(["heartbeat"]));
      conn.on("close", (reason) => log.push(["close", reason]));
      next();
    });
    io.on("connection", (socket) => {
      socket.on("say", (...args) => args.forEach((each) => socket.emit("said", each)));
      socket.on("quiet", (data) => socket.compress(false).emit("said", data));
      socket.on("close", () => socket.conn.close());
      socket.on("last", () => {
        socket.emit("said", "last");
        socket.conn.close();
      });
      socket.on("discard", () => socket.conn.close(true));
      socket.on("leave", () => socket.disconnect(true));
    });
    http.listen(0, "127.0.0.1", () => resolve([name, http.address().port]));
  });

const sets = Object.entries(JSON.parse(process.argv[2]));
console.log(JSON.stringify(Object.fromEntries(await Promise.all(sets.map((each) => serve(...each))))));
