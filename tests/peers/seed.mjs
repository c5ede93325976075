// Plays the client of one of the programs in docs/examples/seed with the stock client, and prints what it saw as JSON.
//
//     node seed.mjs <program> <url>
import { io } from "socket.io-client";

const [program, url] = process.argv.slice(2);

const connect = (options = {}) => io(url, { forceNew: true, reconnection: false, ...options });
const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const connected = async (options) => {
  const socket = connect(options);
  await next(socket, "connect");
  return socket;
};

const clients = {
  async socket_id() {
    const socket = connect();
    await next(socket, "only you");
    const seen = { id: socket.id };
    socket.disconnect();
    return seen;
  },
  async handshake() {
    const socket = await connected({
      auth: { token: "s3cr3t" },
      query: { page: "seed" },
      extraHeaders: { "X-Page": "seed", Origin: new URL(url).origin },
    });
    socket.disconnect();
    return {};
  },
  async rooms() {
    (await connected()).disconnect();
    return {};
  },
  async data() {
    const alice = await connected({ auth: { username: "alice" } });
    const bob = await connected({ auth: { username: "bob" } });
    const seen = { users: await bob.emitWithAck("who is there") };
    alice.disconnect();
    bob.disconnect();
    return seen;
  },
  async conn() {
    const socket = connect();
    await Promise.all([next(socket, "connect"), next(socket.io.engine, "upgrade")]);
    const seen = { answer: await socket.emitWithAck("hello") };
    socket.io.engine.close();
    return seen;
  },
  async attributes() {
    const [error] = await next(connect({ auth: { token: "wrong" } }), "connect_error");
    const socket = await connected({ auth: { token: "s3cr3t" } });
    socket.emit("set username", "wonder");
    await new Promise((resolve) => socket.timeout(100).emit("nobody answers", resolve));
    socket.disconnect();
    return { refused: error.message };
  },
  async middleware() {
    const socket = await connected();
    const seen = { answer: await socket.emitWithAck("ask") };
    socket.emit("error", "mine");
    socket.emit("delete everything");
    [seen.reason] = await next(socket, "disconnect");
    return seen;
  },
  async leaving() {
    const alice = await connected();
    const bob = await connected();
    const { id } = alice;
    const left = next(bob, "user has left");
    alice.disconnect();
    const seen = { left: (await left)[0] === id };
    bob.io.engine.close();
    return seen;
  },
};

console.log(JSON.stringify(await clients[program]()));
