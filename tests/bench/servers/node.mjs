// The same application with Node's socket.io, whose packages lie with the peers of the tests.
// Run as `node node.mjs HOST PORT PACKAGE_JSON`.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const [host, port, manifest] = process.argv.slice(2);
const { Server } = createRequire(manifest)("socket.io");

const http = createServer();
const io = new Server(http, { serveClient: false, httpCompression: false, perMessageDeflate: false });

io.on("connection", (socket) => {
  socket.on("echo", async (data, answer) => answer(data));
  socket.on("join", async (answer) => {
    await socket.join("room");
    answer();
  });
  socket.on("broadcast", async (data) => {
    io.to("room").emit("news", data);
  });
});

http.listen({ host, port: Number(port), backlog: 4096 });
