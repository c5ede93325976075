// What this page knows: the rooms it is in, the people it writes to, and what was said there. It touches neither the
// document nor the connection.

export const LOBBY = "#lobby";

// How many entries of one conversation the page keeps, and how many pictures among them: those that go are given back
// to the browser.
const KEPT = 300;
const PICTURES_KEPT = 40;

export class Conversation {
  constructor(where) {
    this.where = where;
    this.entries = [];
    this.people = new Set();
    this.typing = new Map();
    this.unread = 0;
    this.draft = "";
    this.attachment = null;
  }

  get isRoom() {
    return this.where.startsWith("#");
  }

  get name() {
    return this.where.slice(1);
  }

  knows(from, id) {
    return this.entries.some((entry) => entry.from === from && entry.id === id);
  }

  // Adds what just happened; false when it is here already, as after a message that was sent twice.
  add(entry) {
    if (entry.id && this.knows(entry.from, entry.id)) {
      return false;
    }
    this.entries.push(entry);
    this.forget();
    return true;
  }

  // Fits in what a room remembers, by time: after an interruption it holds what this page has missed.
  merge(history) {
    for (const entry of history) {
      if (this.knows(entry.from, entry.id)) {
        continue;
      }
      let place = this.entries.length;
      while (place > 0 && this.entries[place - 1].at > entry.at) {
        place -= 1;
      }
      this.entries.splice(place, 0, entry);
    }
    this.forget();
  }

  // Notes that somebody came or went. Somebody who is straight back was merely reconnecting: then nothing is said.
  notice(name, what, at) {
    const last = this.entries.at(-1);
    if (what === "joined" && last?.kind === "notice" && last.what === "left" && last.name === name && at - last.at < 30_000) {
      this.entries.pop();
      return;
    }
    this.entries.push({ kind: "notice", id: "", key: `notice-${(counter += 1)}`, name, what, at });
    this.forget();
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    release(entry);
  }

  forget() {
    let pictures = this.entries.filter((entry) => entry.url).length;
    while (this.entries.length > KEPT || pictures > PICTURES_KEPT) {
      const oldest = this.entries.shift();
      pictures -= oldest.url ? 1 : 0;
      release(oldest);
    }
  }

  clear() {
    this.entries.forEach(release);
    this.entries = [];
    release(this.attachment ?? {});
    this.attachment = null;
  }
}

let counter = 0;

function release(entry) {
  if (entry.url) {
    URL.revokeObjectURL(entry.url);
  }
}

// Random letters for tokens and message ids. Not crypto.randomUUID: browsers offer that on secure pages only, and a
// phone on the same network reaches this one over plain HTTP.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The state of the whole page.
export class State {
  constructor() {
    this.me = "";
    this.conversations = new Map();
    this.active = LOBBY;
    this.directory = [];
    this.limits = { name: 24, text: 2000, picture: 1_000_000 };
    this.connection = "connecting";
    this.attempt = 0;
    this.trouble = "";
  }

  get(where) {
    return this.conversations.get(where);
  }

  open(where) {
    let conversation = this.conversations.get(where);
    if (!conversation) {
      conversation = new Conversation(where);
      this.conversations.set(where, conversation);
    }
    return conversation;
  }

  close(where) {
    this.conversations.get(where)?.clear();
    this.conversations.delete(where);
    if (this.active === where) {
      this.active = LOBBY;
    }
  }

  get current() {
    return this.open(this.active);
  }

  get rooms() {
    return [...this.conversations.values()].filter((conversation) => conversation.isRoom);
  }

  get directs() {
    return [...this.conversations.values()].filter((conversation) => !conversation.isRoom);
  }

  // Everybody who is here is in the lobby.
  isHere(name) {
    return this.open(LOBBY).people.has(name);
  }

  get unread() {
    return [...this.conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  }
}
