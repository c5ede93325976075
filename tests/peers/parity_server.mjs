// The application of tests/interop/parity_app.py on the stock Node.js server. Prints its port; ends with its input.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { pingInterval: 1000, pingTimeout: 3000, connectTimeout: 30000 });

let log = [];
const tell = (...row) => log.push(row);
const ASK = 1500;

io.of("/log").on("connection", (socket) => {
  socket.on("take", (ack) => {
    ack(log);
    log = [];
  });
});

function watch(socket) {
  const name = socket.nsp.name;
  socket.on("disconnecting", (reason) => tell("disconnecting", name, reason, socket.rooms.size));
  socket.on("disconnect", (reason) => tell("disconnect", name, reason, socket.rooms.size));
}

io.on("connection", (socket) => {
  watch(socket);
  socket.on("error", (error) => tell("error", error.message));
  socket.use(([event], next) => (event === "forbidden" ? next(new Error("no such luck")) : next()));

  socket.on("kick", () => socket.disconnect());
  socket.on("kick all", () => socket.disconnect(true));
  socket.on("close conn", () => socket.conn.close());
  socket.on("shut down", () => io.close());

  socket.on("who", (ack) => ack(socket.id, socket.connected, socket.conn.transport.name, [...socket.rooms]));
  socket.on("handshake", (ack) => {
    const { headers, query, auth, time, issued, url, address, xdomain, secure } = socket.handshake;
    const now = Date.now();
    ack({
      header: headers["x-parity"],
      query: [query.EIO, query.page],
      auth,
      time: time.replace(/\d/g, "0"),
      issued: Math.abs(now - issued) < 60000,
      url: url.startsWith("/socket.io/?EIO=4"),
      address: address.replace("::ffff:", ""),
      xdomain,
      secure,
    });
  });
  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("nothing", () => {});
  socket.on("ask me", async (...args) => {
    const ack = args.pop();
    ack(await socket.emitWithAck("ask", ...args));
  });
  socket.on("ask me in vain", async (ack) => {
    try {
      await socket.timeout(100).emitWithAck("never answered");
    } catch (error) {
      ack(error.message);
    }
  });

  socket.on("join", (room, ack) => ack(socket.join(room) && undefined));
  socket.on("leave", (room, ack) => ack(socket.leave(room) && undefined));
  socket.on("to", (room, except) => socket.to(room).except(except).emit("said", "to", room));
  socket.on("in", (room) => io.in(room).emit("said", "in", room));
  socket.on("except", (room) => io.except(room).emit("said", "except", room));
  socket.on("broadcast", () => socket.broadcast.emit("said", "broadcast"));
  socket.on("modifiers", () => {
    socket.compress(false).emit("said", "x".repeat(3000));
    socket.emit("said", "before");
    socket.emit("said", Buffer.from([1, 2]), { deep: [Buffer.from([3])] });
    socket.send("sent");
  });
  socket.on("volatile", () => socket.volatile.emit("said", "volatile"));
  socket.on("reserved", (ack) => {
    try {
      socket.emit("disconnect");
    } catch (error) {
      ack(error.message);
    }
  });

  socket.on("ask all", async (room, ack) => {
    const start = Date.now();
    try {
      ack((await io.to(room).timeout(ASK).emitWithAck("ask", 1)).sort(), true, Date.now() - start > 0.9 * ASK);
    } catch (error) {
      ack(error.responses.sort(), false, Date.now() - start > 0.9 * ASK);
    }
  });
  socket.on("hang up", () => socket.disconnect(true));

  socket.on("watch me", (ack) => {
    socket.onAny((event) => tell("any", event));
    socket.prependAny((event) => tell("first", event));
    socket.onAnyOutgoing((event) => tell("outgoing", event));
    ack();
  });

  socket.on("fetch", async (room, ack) => {
    const sockets = await io.in(room).fetchSockets();
    ack(sockets.map((each) => [each.handshake.auth.name, each.rooms.size, each.data]).sort());
  });
  socket.on("data", (name, ack) => {
    socket.data.name = name;
    ack();
  });
  socket.on("sockets join", (room, other) => io.in(room).socketsJoin(other));
  socket.on("sockets leave", (room, other) => io.in(room).socketsLeave(other));
  socket.on("disconnect sockets", (room, close) => io.in(room).disconnectSockets(close));
  socket.on("server side", (ack) => io.serverSideEmit("hello", (error, answers) => ack(answers)));
  socket.on("server side reserved", (ack) => {
    try {
      io.serverSideEmit("connection");
    } catch (error) {
      ack(error.message);
    }
  });
});

io.of("/admin").on("connection", (socket) => {
  watch(socket);
  socket.on("kick", () => socket.disconnect());
  socket.on("kick all", () => socket.disconnect(true));
});

io.of("/guarded").use((socket, next) => {
  if (socket.handshake.auth.token === "right") return next();
  const error = new Error("not authorized");
  error.data = { retry: true };
  next(error);
});

const parent = io.of(/^\/dynamic-\d+$/);
parent.use((socket, next) => next(socket.handshake.auth.refuse ? new Error("refused") : undefined));
parent.on("connection", (socket) => {
  socket.on("where", (ack) => ack(socket.nsp.name));
  socket.on("to all", () => parent.emit("said", "to all"));
});
io.of((name, auth, next) => next(null, name === "/asked" && auth.ok === true));
io.on("new_namespace", (namespace) => tell("new namespace", namespace.name));

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("close", () => process.exit()).resume();
