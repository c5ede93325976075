// Tries a server of the application in parity_server.mjs with the stock client and prints what it sees as JSON: for
// each scenario a list, which must be the same whoever serves.
//
//     node parity_client.mjs <url> <transport>
import { io } from "socket.io-client";

const [url, transport] = process.argv.slice(2);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const open = (namespace = "/", options = {}) =>
  io(url + namespace, { forceNew: true, reconnection: false, transports: [transport], ...options });
const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));

async function connected(namespace, options) {
  const socket = open(namespace, options);
  socket.said = [];
  socket.on("said", (...args) => socket.said.push(args));
  socket.on("message", (...args) => socket.said.push(["message", ...args]));
  await next(socket, "connect");
  return socket;
}

const logs = await connected("/log");

// The rows that the server wrote down: those that are awaited, and whatever comes soon after.
async function log(count) {
  const rows = [];
  for (let turn = 0; turn < 600 && rows.length < count; turn++) {
    if (turn) await sleep(50);
    rows.push(...(await ask(logs, "take"))[0]);
  }
  await sleep(50);
  rows.push(...(await ask(logs, "take"))[0]);
  return rows;
}

async function ended(socket, count, how) {
  const gone = next(socket, "disconnect");
  how();
  const [reason] = await gone;
  return [reason, socket.active, await log(count)];
}

const both = async () => {
  const socket = await connected("/");
  const admin = socket.io.socket("/admin");
  if (!admin.connected) await next(admin, "connect");
  return [socket, admin];
};

const reasons = {
  async client() {
    const socket = await connected();
    return ended(socket, 2, () => socket.disconnect());
  },
  async server() {
    const socket = await connected();
    return ended(socket, 2, () => socket.emit("kick"));
  },
  async "server, all"() {
    const [socket, admin] = await both();
    const other = next(admin, "disconnect");
    const [reason, active, rows] = await ended(socket, 4, () => socket.emit("kick all"));
    // The sockets of one session end side by side; the order is that within each namespace.
    return [reason, active, rows.sort((a, b) => a[1].localeCompare(b[1])), (await other)[0]];
  },
  async "one namespace"() {
    const [socket, admin] = await both();
    const seen = await ended(admin, 2, () => admin.emit("kick"));
    const alive = await ask(socket, "echo", 1);
    socket.disconnect();
    return [seen, alive, await log(2)];
  },
  async "client leaves one namespace"() {
    const [socket, admin] = await both();
    const seen = await ended(admin, 2, () => admin.disconnect());
    const alive = await ask(socket, "echo", 1);
    socket.disconnect();
    return [seen, alive, await log(2)];
  },
  async "session closed by the server"() {
    const socket = await connected();
    return ended(socket, 2, () => socket.emit("close conn"));
  },
  async "session closed by the client"() {
    const socket = await connected();
    return ended(socket, 2, () => socket.io.engine.close());
  },
  async "invalid Socket.IO packet"() {
    const socket = await connected();
    return ended(socket, 3, () => socket.io.engine.write("9"));
  },
  async "silent client"() {
    const socket = await connected();
    return ended(socket, 2, () => {
      socket.io.engine.transport.write = () => {};
    });
  },
  async "late packet"() {
    const [socket, admin] = await both();
    admin.emit("kick");
    await next(admin, "disconnect");
    socket.io.engine.write('2/admin,["late"]');
    await Promise.race([ask(socket, "echo"), next(socket, "disconnect")]);
    const seen = [socket.connected];
    socket.disconnect();
    await log(4);
    return seen;
  },
};
if (transport === "websocket") {
  reasons["invalid Engine.IO packet"] = async () => {
    const socket = await connected();
    return ended(socket, 2, () => socket.io.engine.transport.ws.send("garbage"));
  };
  reasons["connection cut"] = async () => {
    const socket = await connected();
    return ended(socket, 2, () => socket.io.engine.transport.ws.terminate());
  };
}

const scenarios = {
  async "who it is"() {
    const socket = await connected();
    const [id, up, name, rooms] = await ask(socket, "who");
    const seen = [id === socket.id, id.length, up, name, rooms.length === 1 && rooms[0] === id];
    const admin = socket.io.socket("/admin");
    await next(admin, "connect");
    seen.push(admin.id !== socket.id, socket.io.engine.id !== socket.id);
    socket.io.engine.close();
    await log(4);
    return seen;
  },
  async handshake() {
    const socket = await connected("/", {
      auth: { token: 1 },
      query: { page: "a b" },
      extraHeaders: { "X-Parity": "yes", Origin: url },
    });
    const seen = await ask(socket, "handshake");
    socket.disconnect();
    await log(2);
    return seen;
  },
  async acknowledgements() {
    const socket = await connected();
    socket.on("ask", (...args) => args.pop()(...args));
    const seen = [await ask(socket, "echo"), await ask(socket, "echo", 1, { two: [null, "3"] })];
    const [bytes, deep] = await ask(socket, "echo", Buffer.from([1]), { deep: Buffer.from([2]) });
    seen.push([...bytes], [...deep.deep]);
    seen.push(await ask(socket, "ask me", "x"), await ask(socket, "ask me in vain"));
    socket.disconnect();
    await log(2);
    return seen;
  },
  async "order of acknowledgements and events"() {
    const socket = await connected();
    const seen = await Promise.all([1, 2, 3].map((number) => ask(socket, "echo", number)));
    socket.disconnect();
    await log(2);
    return seen;
  },
  async rooms() {
    const [alice, bob, carol] = [await connected(), await connected(), await connected()];
    await ask(alice, "join", "a");
    await ask(bob, "join", "a");
    await ask(bob, "join", "b");
    alice.emit("to", "a", "b");
    alice.emit("to", "a", "nobody");
    alice.emit("to", alice.id, "nobody");
    alice.emit("to", carol.id, "nobody");
    alice.emit("in", "a");
    alice.emit("except", "a");
    alice.emit("broadcast");
    await ask(alice, "leave", "a");
    alice.emit("in", "a");
    for (const each of [alice, bob, carol]) await ask(each, "echo");
    const name = (value) => (value === carol.id ? "carol" : value);
    const seen = [alice, bob, carol].map((each) => each.said.map((row) => row.map(name)));
    for (const each of [alice, bob, carol]) each.disconnect();
    await log(6);
    return seen;
  },
  async modifiers() {
    const socket = await connected();
    socket.emit("modifiers");
    await ask(socket, "echo");
    const seen = socket.said.map((row) => JSON.stringify(row));
    if (transport === "websocket") {
      socket.emit("volatile");
      await ask(socket, "echo");
      seen.push(socket.said.at(-1));
    }
    seen.push(await ask(socket, "reserved"));
    socket.disconnect();
    await log(2);
    return seen;
  },
  async "broadcast with acknowledgements"() {
    const sockets = [await connected(), await connected(), await connected()];
    for (const [index, each] of sockets.entries()) {
      each.on("ask", (number, ack) => ack(number + index));
      await ask(each, "join", "asked");
    }
    const seen = [await ask(sockets[0], "ask all", "asked"), await ask(sockets[0], "ask all", "nowhere")];
    sockets[1].off("ask");
    seen.push(await ask(sockets[0], "ask all", "asked"));
    for (const each of sockets) each.disconnect();
    await log(6);
    return seen;
  },
  async "somebody leaves instead of answering"() {
    const sockets = [await connected(), await connected()];
    sockets[0].on("ask", (number, ack) => ack(number));
    sockets[1].on("ask", () => sockets[1].disconnect());
    for (const each of sockets) await ask(each, "join", "asked");
    const [answers, complete, waited] = await ask(sockets[0], "ask all", "asked");
    sockets[0].disconnect();
    await log(4);
    return [answers, complete, { waited }];
  },
  async "catch-alls"() {
    const [socket, other] = [await connected(), await connected()];
    await ask(socket, "watch me");
    socket.emit("nothing");
    socket.emit("unhandled", 1);
    socket.emit("forbidden");
    socket.emit("error", "mine");
    socket.emit("modifiers");
    await ask(socket, "echo");
    other.emit("broadcast");
    await ask(other, "echo");
    socket.disconnect();
    other.disconnect();
    const rows = await log(20);
    return [["first", "any"], ["outgoing"], ["error"]].map((names) => rows.filter((row) => names.includes(row[0])));
  },
  async "socket middleware"() {
    const socket = await connected();
    const answer = await new Promise((resolve) => socket.timeout(200).emit("forbidden", resolve));
    const seen = [answer.message, await log(1), await ask(socket, "echo", "still here")];
    socket.disconnect();
    await log(2);
    return seen;
  },
  async utilities() {
    const [alice, bob] = [
      await connected("/", { auth: { name: "alice" } }),
      await connected("/", { auth: { name: "bob" } }),
    ];
    await ask(alice, "join", "a");
    await ask(bob, "data", "Bob");
    alice.emit("sockets join", "a", "c");
    alice.emit("sockets join", bob.id, "c");
    const seen = [await ask(alice, "fetch", "c"), await ask(alice, "fetch", "a")];
    alice.emit("sockets leave", "a", "c");
    seen.push(await ask(alice, "fetch", "c"), await ask(alice, "server side reserved"));
    const gone = next(bob, "disconnect");
    alice.emit("disconnect sockets", "c", false);
    seen.push((await gone)[0], await log(2));
    alice.disconnect();
    await log(2);
    return seen;
  },
  async "no other server"() {
    const socket = await connected();
    const [error, answer] = await new Promise((resolve) =>
      socket.timeout(2000).emit("server side", (...answers) => resolve(answers)),
    );
    socket.disconnect();
    await log(2);
    return error ? [error.message] : [answer];
  },
  async "dynamic namespaces"() {
    const [one, two] = [await connected("/dynamic-1"), await connected("/dynamic-2")];
    const seen = [await ask(one, "where"), await ask(two, "where")];
    one.emit("to all");
    for (const each of [one, two]) await ask(each, "where");
    seen.push(one.said, two.said);
    for (const [name, auth] of [["/dynamic-x", {}], ["/dynamic-3", { refuse: 1 }], ["/asked", {}]]) {
      const socket = open(name, { auth });
      seen.push((await next(socket, "connect_error"))[0].message, socket.active);
    }
    (await connected("/asked", { auth: { ok: true } })).disconnect();
    one.disconnect();
    two.disconnect();
    seen.push(await log(4));
    return seen;
  },
  async "connect errors"() {
    const seen = [];
    for (const name of ["/unknown", "/guarded", "/guarded?x=1"]) {
      const socket = open(name, { auth: { token: "wrong" } });
      const [error] = await next(socket, "connect_error");
      seen.push([error.message, error.data, socket.active]);
    }
    const socket = open("/guarded", { auth: { token: "wrong" }, autoConnect: false });
    socket.connect();
    await next(socket, "connect_error");
    socket.auth = { token: "right" };
    socket.connect();
    await next(socket, "connect");
    seen.push(socket.connected);
    socket.disconnect();
    return seen;
  },
};

// The last one: nothing can be asked afterwards.
reasons["server shutting down"] = async () => {
  const [socket, admin] = await both();
  const gone = [next(socket, "disconnect"), next(admin, "disconnect")];
  socket.emit("shut down");
  return [...(await Promise.all(gone)).map(([reason]) => reason), socket.active];
};

const seen = {};
for (const [name, run] of Object.entries({ ...scenarios, ...reasons })) {
  seen[name] = await Promise.race([run(), sleep(60000).then(() => "late")]).catch((error) => `failed: ${error.stack}`);
}
logs.disconnect();
console.log(JSON.stringify(seen));
process.exit(0);
