// Says what engine.io-parser and socket.io-parser make of packets: for each line of standard input a case, on standard
// output its answer, both as JSON. A case has one of these keys:
//
//     stream    the messages of a session, as Engine.IO packets carry them: [{packet} | {} | {error}], up to the first
//               error; {} is what more has to follow
//     payload   the body of a POST: [[type, data] | {error}]
//     message   a WebSocket message: [type, data] | {error}
//     packet    a packet of socket.io-parser: its messages
//     frames    packets of engine.io-parser, as [type, data]: the body of a poll's answer
//
// Binary travels as {"$bytes": base64}, and what JSON has no number for as {"$number": its name}.
import { createInterface } from "node:readline";
import { decodePacket, decodePayload, encodePayload } from "engine.io-parser";
import { Decoder, Encoder } from "socket.io-parser";

function toJson(key, value) {
  const original = this[key];
  if (original instanceof Uint8Array) return { $bytes: Buffer.from(original).toString("base64") };
  if (typeof original === "number" && !Number.isFinite(original)) return { $number: `${original}` };
  return value;
}

function fromJson(key, value) {
  return value !== null && typeof value === "object" && "$bytes" in value ? Buffer.from(value.$bytes, "base64") : value;
}

function attempt(run) {
  try {
    return run();
  } catch (error) {
    return { error: error.message };
  }
}

const engine = ({ type, data }) => (type === "error" ? { error: data } : [type, data ?? ""]);

function stream(messages) {
  const decoder = new Decoder();
  const found = [];
  let packet;
  decoder.on("decoded", (decoded) => (packet = decoded));
  for (const message of messages) {
    packet = undefined;
    const answer = attempt(() => {
      decoder.add(typeof message === "string" ? decodePacket("4" + message).data : message);
      return { packet };
    });
    found.push(answer);
    if ("error" in answer) break;
  }
  return found;
}

const ANSWERS = {
  stream,
  payload: (body) => decodePayload(body.toString()).map(engine),
  message: (message) => engine(decodePacket(message)),
  packet: (packet) => attempt(() => new Encoder().encode(packet)),
  frames(packets) {
    let encoded;
    encodePayload(
      packets.map(([type, data]) => ({ type, data })),
      (payload) => (encoded = payload),
    );
    return encoded;
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const [[kind, what]] = Object.entries(JSON.parse(line, fromJson));
  process.stdout.write(JSON.stringify(ANSWERS[kind](what), toJson) + "\n");
});
