// The chat page: the connection on one side, the person on the other.
//
// What is said goes through an outbox. A message stays in it until the server has acknowledged it, across any number of
// lost connections, and always under the same id: whoever gets it twice shows it once.

import { LOBBY, State, randomId } from "./conversations.js";
import { Composer } from "./composer.js";
import { Panels } from "./panels.js";
import { TYPES } from "./pictures.js";
import { View, announce, label } from "./view.js";

const $ = (id) => document.getElementById(id);
const ANSWER_MS = 10_000;
const PICTURE_ANSWER_MS = 30_000;
const GIVE_UP_MS = 60_000;
const TYPING_MS = 6_000;
const SETTLE_MS = 6_000;
const STORE = "parley";

const state = new State();
const outbox = new Map();
const session = restore();
let ready = false;
let settled = 0;
let drawing = false;

const view = new View(state, { open, retry, discard });
const composer = new Composer(state, { send, typing, changed });
const panels = new Panels();
const socket = globalThis.io?.({
  autoConnect: false,
  auth: (give) => give({ name: session.name, token: session.token }),
  reconnectionDelay: 400,
  reconnectionDelayMax: 3_000,
});

if (!socket) {
  $("name-error").textContent = "The Socket.IO client could not be loaded. Start the server with --client PATH, see its README.";
  $("join-button").disabled = true;
} else {
  listen();
  $("name").value = session.name;
  if (session.inside) {
    connect();
  }
}

// ---- The connection

function listen() {
  socket.on("connect_error", (error) => {
    if (socket.active) {
      // Not refused, merely not reached: the client tries again by itself.
      state.connection = state.me ? "reconnecting" : "connecting";
      $("join-status").textContent = "The server does not answer. Trying again…";
      changed();
    } else {
      refused(error.message);
    }
  });
  socket.io.on("reconnect_attempt", (attempt) => {
    state.attempt = attempt;
    changed();
  });
  socket.on("disconnect", (reason) => {
    ready = false;
    if (!session.inside) {
      return;
    }
    state.connection = socket.active ? "reconnecting" : "stopped";
    state.attempt = 0;
    if (reason === "io server disconnect") {
      state.trouble ||= "The server has ended this connection.";
    }
    announce(socket.active ? "The connection was lost. Reconnecting." : state.trouble);
    changed();
  });
  socket.on("welcome", welcome);
  socket.on("refused", ({ message }) => refused(message));
  socket.on("replaced", ({ message }) => {
    state.trouble = message;
  });
  socket.on("rooms", (directory) => {
    state.directory = directory;
    changed();
  });
  socket.on("joined", ({ room, name, at }) => came(room, name, at));
  socket.on("left", ({ room, name, at }) => went(room, name, at));
  socket.on("message", receive);
  socket.on("picture", receive);
  socket.on("typing", ({ where, name, on }) => types(where, name, on));
  addEventListener("online", () => state.connection === "reconnecting" && connect());
}

function connect() {
  // Also while the client waits for its next attempt: then this one is made now.
  socket.disconnect();
  state.trouble = "";
  state.connection = state.me ? "reconnecting" : "connecting";
  $("join-button").disabled = true;
  $("join-status").textContent = "Connecting…";
  socket.connect();
}

async function welcome({ name, limits, rooms, lobby }) {
  const again = state.me !== "";
  Object.assign(state, { me: name, directory: rooms, connection: "connected", attempt: 0 });
  Object.assign(state.limits, limits);
  Object.assign(session, { name, inside: true });
  // After a restart of the server everybody comes back at once; that is no news.
  settled = again ? Date.now() + SETTLE_MS : 0;
  fill(lobby);
  const wanted = new Set([...session.rooms, ...state.rooms.map((room) => room.name)]);
  wanted.delete(lobby.room);
  show();
  changed();
  await Promise.all([...wanted].map((room) => join(room).catch(() => state.close(`#${room}`))));
  if (!socket.connected) {
    return;
  }
  ready = true;
  if (state.active !== session.active && state.get(session.active)) {
    composer.store();
    state.active = session.active;
    composer.load();
  }
  announce(again ? "Connected again." : `Welcome, ${name}. You are in the lobby.`);
  changed();
  outbox.forEach((_, entry) => transmit(entry));
}

function refused(message) {
  if (session.inside) {
    composer.store();
  }
  session.inside = false;
  ready = false;
  socket.disconnect();
  $("name-error").textContent = message;
  $("name").setAttribute("aria-invalid", "true");
  show();
  save();
  $("name").focus();
  $("name").select();
}

// Asks the server something; rejects with a sentence for the person.
async function ask(wait, event, ...values) {
  if (!socket.connected) {
    throw new Error("There is no connection at the moment.");
  }
  let answer;
  try {
    answer = await socket.timeout(wait).emitWithAck(event, ...values);
  } catch {
    throw new Error("The server did not answer.");
  }
  if (!answer?.ok) {
    throw new Error(answer?.error ?? "The server did not accept it.");
  }
  return answer;
}

async function join(room) {
  const answer = await ask(ANSWER_MS, "join", room);
  fill(answer);
  return `#${answer.room}`;
}

// ---- What the server tells

function fill({ room, people, history }) {
  const conversation = state.open(`#${room}`);
  conversation.people = new Set(people);
  conversation.merge(history.map((entry) => received(conversation, entry)));
}

function received(conversation, { from, id, at, text = "", type = "", data }) {
  const picture = type !== "";
  // The server has looked at the bytes; what the browser is told about them comes from the list all the same.
  const url = picture && data && TYPES.includes(type) ? URL.createObjectURL(new Blob([data], { type })) : "";
  const own = from === state.me;
  return { kind: picture ? "picture" : "message", private: !conversation.isRoom, state: "delivered", own, from, id, at, text, url };
}

function receive(packet) {
  const conversation = packet.where.startsWith("@") ? state.open(packet.where) : state.get(packet.where);
  if (!conversation || conversation.knows(packet.from, packet.id)) {
    return;
  }
  const entry = received(conversation, packet);
  conversation.add(entry);
  types(packet.where, packet.from, false);
  const seen = conversation === state.current && !document.hidden;
  conversation.unread += seen ? 0 : 1;
  const what = entry.kind === "picture" ? "a picture" : entry.text;
  const place = conversation === state.current ? "" : conversation.isRoom ? ` in ${label(conversation)}` : ", privately";
  announce(`${entry.from}${place}: ${what}`);
  changed();
}

function came(room, name, at) {
  const conversation = state.get(`#${room}`);
  if (conversation && !conversation.people.has(name)) {
    conversation.people.add(name);
    if (Date.now() > settled) {
      conversation.notice(name, "joined", at);
    }
    changed();
  }
}

function went(room, name, at) {
  const conversation = state.get(`#${room}`);
  // Of oneself it is told when another tab has taken over, which the banner says better.
  if (name !== state.me && conversation?.people.delete(name)) {
    types(`#${room}`, name, false);
    conversation.notice(name, "left", at);
    changed();
  }
}

function types(where, name, on) {
  const conversation = state.get(where);
  clearTimeout(conversation?.typing.get(name));
  if (!conversation || (!on && !conversation.typing.delete(name))) {
    return;
  }
  if (on) {
    // A page that vanishes while its person types never says that they stopped.
    conversation.typing.set(name, setTimeout(() => types(where, name, false), TYPING_MS));
  }
  changed();
}

// ---- What the person does

function send(conversation, said) {
  const entry = {
    kind: said.blob ? "picture" : "message",
    where: conversation.where,
    private: !conversation.isRoom,
    own: true,
    from: state.me,
    id: randomId(),
    at: Date.now(),
    state: "sending",
    reason: "",
    text: said.text ?? "",
    blob: said.blob,
    url: said.blob ? URL.createObjectURL(said.blob) : "",
  };
  conversation.add(entry);
  retry(entry);
}

function retry(entry) {
  entry.state = "sending";
  outbox.set(entry, setTimeout(() => settle(entry, "failed", "There is no connection."), GIVE_UP_MS));
  changed();
  if (ready) {
    transmit(entry);
  }
}

async function transmit(entry) {
  try {
    const answer = entry.blob
      ? await ask(PICTURE_ANSWER_MS, "picture", entry.where, await entry.blob.arrayBuffer(), entry.id)
      : await ask(ANSWER_MS, "message", entry.where, entry.text, entry.id);
    entry.at = answer.at;
    settle(entry, "delivered");
  } catch (error) {
    // Without a connection it stays in the outbox, to be sent when the page is back.
    if (ready) {
      settle(entry, "failed", error.message);
    }
  }
}

function settle(entry, outcome, reason = "") {
  clearTimeout(outbox.get(entry));
  if (outbox.delete(entry)) {
    Object.assign(entry, { state: outcome, reason });
    if (outcome === "failed") {
      announce(`Not delivered. ${reason}`);
    } else {
      entry.blob = undefined;
    }
    changed();
  }
}

function discard(entry) {
  state.get(entry.where)?.remove(entry);
  $("text").focus();
  changed();
}

function typing(on) {
  if (ready) {
    socket.volatile.emit("typing", state.active, on);
  }
}

async function open(where) {
  if (where.startsWith("#") && !state.get(where)) {
    try {
      where = await join(where.slice(1));
    } catch (error) {
      $("new-room-error").textContent = error.message;
      return false;
    }
  }
  $("new-room-error").textContent = "";
  composer.store();
  state.active = where;
  state.open(where).unread = 0;
  session.active = where;
  composer.load();
  panels.close();
  changed();
  // On a phone the focus in the text would open the keyboard over what one came to read.
  (panels.narrow ? $("title") : $("text")).focus();
  return true;
}

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  $("name-error").textContent = name ? "" : "Please enter a name.";
  $("name").toggleAttribute("aria-invalid", !name);
  if (!name || !socket) {
    $("name").focus();
    return;
  }
  if (state.me && state.me !== name) {
    forget();
    session.rooms = [];
    session.active = LOBBY;
  }
  session.name = name;
  connect();
});

$("new-room").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("new-room-name").value.trim();
  if (!name) {
    $("new-room-error").textContent = "Please enter a name for the room.";
  } else if (await open(`#${name}`)) {
    $("new-room-name").value = "";
  }
});

$("leave").addEventListener("click", async () => {
  const conversation = state.current;
  if (conversation.isRoom) {
    try {
      await ask(ANSWER_MS, "leave", conversation.name);
    } catch (error) {
      composer.complain(error.message);
      return;
    }
  }
  [...outbox.keys()].filter((entry) => entry.where === conversation.where).forEach((entry) => settle(entry, "failed"));
  state.close(conversation.where);
  open(LOBBY);
});

$("quit").addEventListener("click", () => {
  session.inside = false;
  forget();
  Object.assign(state, { me: "", connection: "connecting" });
  Object.assign(session, { rooms: [], active: LOBBY });
  socket.disconnect();
  panels.close();
  show();
  save();
  $("name").focus();
});

$("retry-now").addEventListener("click", connect);
$("newest").addEventListener("click", () => view.toEnd());
$("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.me) {
    state.current.unread = 0;
    changed();
  }
});

// The keyboard of some phones covers the page instead of shrinking it.
globalThis.visualViewport?.addEventListener("resize", () => {
  if (visualViewport.scale === 1) {
    document.documentElement.style.setProperty("--height", `${visualViewport.height}px`);
    scrollTo(0, 0);
  }
});

// ---- The page

function forget() {
  outbox.forEach((timer) => clearTimeout(timer));
  outbox.clear();
  state.conversations.forEach((conversation) => conversation.clear());
  state.conversations.clear();
  state.active = LOBBY;
  composer.load();
}

function show() {
  const inside = Boolean(session.inside);
  const entering = inside && $("chat").hidden;
  $("entrance").hidden = inside;
  $("chat").hidden = !inside;
  $("join-button").disabled = false;
  $("join-status").textContent = "";
  if (inside) {
    $("name-error").textContent = "";
    $("name").removeAttribute("aria-invalid");
  } else {
    document.title = "Parley";
  }
  if (entering) {
    composer.load();
    (panels.narrow ? $("title") : $("text")).focus();
  }
}

// Draws once for all that changed in this turn.
function changed() {
  if (drawing) {
    return;
  }
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    if (session.inside && state.me) {
      session.rooms = ready ? state.rooms.map((room) => room.name) : session.rooms;
      view.draw();
    }
    save();
  });
}

// A tab keeps its name over a reload; another tab is another person.
function restore() {
  const fresh = { name: "", token: randomId(), rooms: [], active: LOBBY, inside: false };
  try {
    return { ...fresh, ...JSON.parse(sessionStorage.getItem(STORE) ?? "{}") };
  } catch {
    return fresh;
  }
}

function save() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify(session));
  } catch {
    // A browser that keeps nothing only forgets the name on a reload.
  }
}
