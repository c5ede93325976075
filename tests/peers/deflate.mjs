// Speaks to an echoing server through `ws` with every kind of offer for permessage-deflate that it can make, and prints
// as JSON what became of each: the extensions agreed on, the parameters, whether every echo was right, and how many
// bytes came for the long ones. The argument is the port.
import WebSocket from "ws";

const url = `ws://127.0.0.1:${process.argv[2]}/socket.io/?EIO=4&transport=websocket`;
const long = "all work and no play makes Jack a dull boy, ".repeat(3000);
const noise = Array.from({ length: 3000 }, (_, index) => String.fromCodePoint((index * 7919) % 0xd000)).join("");
const texts = ["short", long, "", noise, long.slice(0, 5000), "a" + long, "\u{1f600}".repeat(2000)];

const offers = {
  none: false,
  plain: true,
  "no takeover": { clientNoContextTakeover: true, serverNoContextTakeover: true },
  "small windows": { serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
  "a window of ten": { serverMaxWindowBits: 10 },
  "everything compressed": { threshold: 0 },
  "stored only": { threshold: 0, zlibDeflateOptions: { level: 0 } },
};

async function tryOffer(perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  const queue = [];
  let wake = () => {};
  socket.on("message", (data, binary) => {
    queue.push(binary ? data : data.toString());
    wake();
  });
  const receive = async () => {
    while (!queue.length) await new Promise((resolve) => (wake = resolve));
    return queue.shift();
  };
  const failed = new Promise((_, reject) => socket.on("error", reject));
  const talk = async () => {
    await receive();
    socket.send("40");
    await receive();
    const before = socket._socket.bytesRead;
    let right = true;
    for (const text of texts) {
      const packet = `42${JSON.stringify(["echo", text])}`;
      // Long ones in fragments.
      for (let at = 0; at < packet.length; at += 40000) {
        socket.send(packet.slice(at, at + 40000), { fin: at + 40000 >= packet.length });
      }
      right = (await receive()) === packet && right;
    }
    const bytes = socket._socket.bytesRead - before;
    const { extensions } = socket;
    const parameters = socket._extensions["permessage-deflate"]?.params ?? null;
    socket.close();
    await new Promise((resolve) => socket.on("close", resolve));
    return { extensions, parameters, right, bytes };
  };
  return Promise.race([talk(), failed]);
}

const found = {};
for (const [name, offer] of Object.entries(offers)) {
  found[name] = await tryOffer(offer);
}
console.log(JSON.stringify(found));
