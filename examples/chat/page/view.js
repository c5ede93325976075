// Draws the state. Whatever people wrote reaches the document as text, never as markup.
//
// Everything is drawn anew after each change, but elements are kept by their key: who has the focus keeps it, and a
// screen reader is not told twice.

import { LOBBY } from "./conversations.js";

const $ = (id) => document.getElementById(id);
const GROUP_MS = 5 * 60_000;
const PICTURE_WIDTH = 360;
const PICTURE_HEIGHT = 320;
const STATES = { sending: ["icon-clock", "Sending"], delivered: ["icon-check", "Delivered"], failed: ["icon-alert", "Not delivered"] };
const STATUS = { connecting: "Connecting…", connected: "Connected", reconnecting: "Reconnecting…", stopped: "Disconnected" };

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export class View {
  // `actions`: what a click asks for: open(where), retry(entry), discard(entry).
  constructor(state, actions) {
    this.state = state;
    this.actions = actions;
    this.shown = null;
    this.stuck = true;
    this.top = 0;
    this.below = 0;
    const scroller = $("scroller");
    scroller.addEventListener("scroll", () => {
      // Only a move upwards lets go of the end: the list may have grown between our scrolling and this event.
      const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
      this.stuck = atEnd || (this.stuck && scroller.scrollTop >= this.top);
      this.top = scroller.scrollTop;
      this.below = this.stuck ? 0 : this.below;
      this.drawNewest();
    });
    // The keyboard of a phone, a banner or a picture that has loaded changes the height: the end stays in sight.
    const follow = new ResizeObserver(() => this.stuck && this.toEnd());
    follow.observe(scroller);
    follow.observe($("messages"));
  }

  draw() {
    this.drawHeading();
    this.drawConnection();
    this.drawPlaces();
    this.drawPeople();
    this.drawMessages();
    this.drawTyping();
    document.title = `${this.state.unread ? `(${this.state.unread}) ` : ""}${label(this.state.current)} · Parley`;
  }

  drawHeading() {
    const { state } = this;
    const conversation = state.current;
    text($("title"), label(conversation));
    const count = conversation.people.size;
    text(
      $("subtitle"),
      conversation.isRoom
        ? `${count} ${count === 1 ? "person" : "people"} here`
        : `Private · ${state.isHere(conversation.name) ? "here now" : "not here at the moment"}`,
    );
    $("leave").hidden = conversation.where === LOBBY;
    text($("leave"), conversation.isRoom ? "Leave" : "Close");
    $("leave").setAttribute("aria-label", conversation.isRoom ? `Leave ${label(conversation)}` : `Close the conversation with ${conversation.name}`);
    $("text").placeholder = conversation.isRoom ? `Message ${label(conversation)}` : `Private message to ${conversation.name}`;
    $("chat").classList.toggle("private", !conversation.isRoom);
    text($("my-name"), state.me);
    avatar($("my-avatar"), state.me);
  }

  drawConnection() {
    const { connection, attempt, trouble } = this.state;
    const status = $("status");
    if (status.dataset.state !== connection) {
      status.dataset.state = connection;
      text(status, STATUS[connection]);
    }
    $("banner").hidden = connection === "connected" || connection === "connecting";
    $("banner").dataset.state = connection;
    text(
      $("banner-text"),
      connection === "stopped" ? trouble : `The connection was lost. Reconnecting${attempt > 1 ? ` (attempt ${attempt})` : ""}…`,
    );
    text($("retry-now"), connection === "stopped" ? "Use it here" : "Try now");
  }

  drawPlaces() {
    const { state } = this;
    const others = state.directory.filter(({ room }) => !state.get(`#${room}`)).map(({ room, people }) => ({ where: `#${room}`, people }));
    const joined = state.rooms.map((conversation) => ({ where: conversation.where, conversation }));
    const rooms = [...joined, ...others].sort((a, b) => (b.where === LOBBY) - (a.where === LOBBY) || a.where.localeCompare(b.where));
    const directs = state.directs.map((conversation) => ({ where: conversation.where, conversation }));
    const draw = (list, items) => keep(list, items, (item) => item.where, () => this.makePlace(), (element, item) => this.fillPlace(element, item));
    draw($("rooms"), rooms);
    draw($("directs"), directs);
    $("no-directs").hidden = directs.length > 0;
    const elsewhere = state.unread - state.current.unread;
    badge($("menu-badge"), elsewhere);
  }

  makePlace() {
    const row = make("li");
    const button = make("button", "place", { type: "button" });
    button.append(make("span", "mark"), make("span", "name"), make("span", "count"), make("span", "badge"));
    button.addEventListener("click", () => this.actions.open(row.dataset.key));
    row.append(button);
    return row;
  }

  fillPlace(row, { where, conversation, people }) {
    const button = row.firstElementChild;
    const [mark, name, count, unread] = button.children;
    const room = where.startsWith("#");
    row.dataset.testid = room ? "room" : "private";
    row.dataset.name = where.slice(1);
    row.dataset.joined = String(Boolean(conversation));
    button.classList.toggle("unjoined", !conversation);
    if (room) {
      text(mark, "#");
      mark.setAttribute("aria-hidden", "true");
    } else {
      avatar(mark, where.slice(1));
      mark.classList.add("avatar", "small");
      mark.classList.toggle("away", !this.state.isHere(where.slice(1)));
    }
    text(name, where.slice(1));
    text(count, conversation ? "" : `${people}`);
    count.hidden = Boolean(conversation);
    badge(unread, conversation?.unread ?? 0);
    if (where === this.state.active) {
      button.setAttribute("aria-current", "true");
    } else {
      button.removeAttribute("aria-current");
    }
    const waiting = conversation?.unread ? `, ${conversation.unread} unread` : "";
    const status = conversation ? waiting : `, join this room, ${people} there`;
    button.setAttribute("aria-label", `${room ? "Room " : "Private conversation with "}${where.slice(1)}${status}`);
  }

  drawPeople() {
    const { state } = this;
    const conversation = state.current;
    const names = conversation.isRoom ? [...conversation.people] : [state.me, ...(state.isHere(conversation.name) ? [conversation.name] : [])];
    names.sort((a, b) => (b === state.me) - (a === state.me) || a.localeCompare(b));
    text($("people-title"), conversation.isRoom ? `In ${label(conversation)}` : "In this conversation");
    text($("people-count"), String(names.length));
    keep($("people-list"), names, (name) => name, (name) => this.makePerson(name), (row, name) => {
      row.dataset.typing = String(conversation.typing.has(name));
    });
  }

  makePerson(name) {
    const own = name === this.state.me;
    const row = make("li");
    row.dataset.testid = "person";
    row.dataset.name = name;
    const body = own ? make("div", "person") : make("button", "person", { type: "button" });
    const face = make("span", "avatar");
    face.setAttribute("aria-hidden", "true");
    avatar(face, name);
    const title = make("span", "name");
    text(title, name);
    body.append(face, title);
    if (own) {
      const you = make("span", "you");
      text(you, "you");
      body.append(you);
    } else {
      body.setAttribute("aria-label", `Write to ${name} privately`);
      body.title = `Write to ${name} privately`;
      body.append(icon("icon-chat"));
      body.addEventListener("click", () => this.actions.open(`@${name}`));
    }
    row.append(body);
    return row;
  }

  drawMessages() {
    const conversation = this.state.current;
    const switched = this.shown !== conversation;
    const before = switched ? 0 : this.drawnCount;
    const items = rows(conversation, this.state.me);
    keep($("messages"), items, (item) => item.key, (item) => this.makeRow(item), (row, item) => this.fillRow(row, item));
    this.shown = conversation;
    this.drawnCount = conversation.entries.length;
    const last = conversation.entries.at(-1);
    const said = conversation.entries.some((entry) => entry.kind !== "notice");
    $("empty").hidden = said;
    text($("empty-title"), conversation.isRoom ? `Nothing has been said in ${label(conversation)} yet` : `Write to ${conversation.name} privately`);
    text($("empty-text"), conversation.isRoom ? "Say hello, or send a picture." : "Only the two of you will see it. The server passes it on and does not keep it.");
    if (switched || this.stuck || (last?.own && this.drawnCount > before)) {
      this.toEnd();
    } else if (this.drawnCount > before) {
      this.below += this.drawnCount - before;
    }
    this.drawNewest();
  }

  makeRow(item) {
    if (item.kind === "day" || item.kind === "notice") {
      const row = make("li", item.kind);
      const line = make("span");
      text(line, item.text);
      row.append(line);
      row.dataset.testid = item.kind;
      return row;
    }
    const { entry } = item;
    const row = make("li", "message");
    row.dataset.testid = "message";
    row.dataset.from = entry.from;
    row.dataset.kind = entry.kind === "picture" ? "picture" : entry.private ? "private" : "text";
    row.dataset.private = String(entry.private);
    const face = make("span", "avatar");
    face.setAttribute("aria-hidden", "true");
    avatar(face, entry.from);
    const body = make("div", "body");
    const from = make("p", "from");
    text(from, entry.own ? "You" : entry.from);
    const bubble = make("div", "bubble");
    bubble.append(entry.kind === "picture" ? this.makePicture(entry) : makeText(entry.text));
    const stamp = make("span", "stamp");
    stamp.append(make("time"), make("span", "state"));
    bubble.append(stamp);
    body.append(from, bubble);
    row.append(face, body);
    return row;
  }

  makePicture(entry) {
    if (!entry.url) {
      const gone = make("p", "text gone");
      text(gone, "A picture. Pictures are not kept for those who come later.");
      return gone;
    }
    const button = make("button", "picture", { type: "button" });
    const image = make("img", "", { src: entry.url, alt: `Picture from ${entry.own ? "you" : entry.from}` });
    image.addEventListener("load", () => {
      image.width = image.naturalWidth * Math.min(1, PICTURE_WIDTH / image.naturalWidth, PICTURE_HEIGHT / image.naturalHeight);
    });
    button.append(image);
    button.setAttribute("aria-label", `Picture from ${entry.own ? "you" : entry.from}, enlarge`);
    button.addEventListener("click", () => {
      $("viewer-picture").src = entry.url;
      $("viewer-picture").alt = image.alt;
      $("viewer").showModal();
    });
    return button;
  }

  fillRow(row, item) {
    if (!item.entry) {
      return;
    }
    const { entry, first, last } = item;
    row.classList.toggle("own", Boolean(entry.own));
    row.classList.toggle("first", first);
    row.classList.toggle("last", last);
    row.querySelector(".from").classList.toggle("unseen", !first || Boolean(entry.own));
    const time = row.querySelector("time");
    time.dateTime = new Date(entry.at).toISOString();
    text(time, clock.format(entry.at));
    if (!entry.own || row.dataset.state === entry.state) {
      row.dataset.state = entry.state;
      return;
    }
    row.dataset.state = entry.state;
    const [symbol, words] = STATES[entry.state];
    const spoken = make("span", "unseen");
    text(spoken, words);
    row.querySelector(".state").replaceChildren(icon(symbol), spoken);
    row.querySelector(".failure")?.remove();
    if (entry.state === "failed") {
      row.querySelector(".body").append(this.makeFailure(entry));
    }
  }

  makeFailure(entry) {
    const line = make("div", "failure");
    const why = make("p");
    text(why, `Not delivered. ${entry.reason}`);
    const again = make("button", "quiet", { type: "button" });
    again.dataset.testid = "retry-button";
    text(again, "Try again");
    again.addEventListener("click", () => this.actions.retry(entry));
    const discard = make("button", "quiet", { type: "button" });
    discard.dataset.testid = "discard-button";
    text(discard, "Discard");
    discard.addEventListener("click", () => this.actions.discard(entry));
    line.append(why, again, discard);
    return line;
  }

  drawTyping() {
    const names = [...this.state.current.typing.keys()];
    const line = $("typing");
    const [one, two] = names;
    const words = names.length > 2 ? "Several people are typing" : two ? `${one} and ${two} are typing` : one ? `${one} is typing` : "";
    if (line.dataset.words === words) {
      return;
    }
    line.dataset.words = words;
    line.replaceChildren();
    if (words) {
      const dots = make("span", "dots");
      dots.setAttribute("aria-hidden", "true");
      dots.append(make("i"), make("i"), make("i"));
      line.append(dots, `${words}…`);
    }
  }

  drawNewest() {
    $("newest").hidden = this.stuck;
    text($("newest-text"), this.below ? `${this.below} new` : "Newest messages");
  }

  toEnd() {
    this.stuck = true;
    this.below = 0;
    $("scroller").scrollTop = $("scroller").scrollHeight;
  }
}

export function label(conversation) {
  return conversation.isRoom ? conversation.where : conversation.name;
}

export function announce(words) {
  // Set even when it is the same: somebody may say "yes" twice.
  $("announcer").textContent = words;
}

// Turns entries into rows: a line for each day, messages of one person in a row grouped.
function rows(conversation, me) {
  const items = [];
  let day = "";
  let group = null;
  conversation.entries.forEach((entry) => {
    const date = new Date(entry.at).toDateString();
    if (date !== day) {
      day = date;
      group = null;
      items.push({ kind: "day", key: `day-${conversation.where}-${date}`, text: date === new Date().toDateString() ? "Today" : calendar.format(entry.at) });
    }
    if (entry.kind === "notice") {
      group = null;
      const what = { joined: "joined", left: "left" }[entry.what];
      items.push({ kind: "notice", key: entry.key, text: `${entry.name === me ? "You" : entry.name} ${what} · ${clock.format(entry.at)}` });
      return;
    }
    const first = !group || group.entry.from !== entry.from || entry.at - group.entry.at > GROUP_MS;
    if (!first) {
      group.last = false;
    }
    group = { kind: "entry", key: `${conversation.where} ${entry.from} ${entry.id}`, entry, first, last: true };
    items.push(group);
  });
  return items;
}

// Makes the children of a list match the items, reusing the elements whose key stays.
function keep(list, items, keyOf, create, fill) {
  const keys = new Set(items.map(keyOf));
  const old = new Map();
  for (const element of [...list.children]) {
    if (keys.has(element.dataset.key)) {
      old.set(element.dataset.key, element);
    } else {
      element.remove();
    }
  }
  items.forEach((item, index) => {
    const key = keyOf(item);
    let element = old.get(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    if (list.children[index] !== element) {
      list.insertBefore(element, list.children[index] ?? null);
    }
    fill(element, item);
  });
}

// A paragraph in which web addresses can be followed.
function makeText(words) {
  const paragraph = make("p", "text");
  paragraph.dir = "auto";
  for (const part of words.split(/(https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]])/u)) {
    if (/^https?:\/\//u.test(part)) {
      const link = make("a", "", { href: part, target: "_blank", rel: "noopener noreferrer nofollow" });
      text(link, part);
      paragraph.append(link);
    } else {
      paragraph.append(part);
    }
  }
  return paragraph;
}

// Initials on a colour of one's own. They are an ornament drawn by the style sheet: the name itself stands beside them.
function avatar(element, name) {
  const words = name.split(/[\s\-_.]+/u).filter(Boolean);
  const letters = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...name].slice(0, 2).join("");
  element.dataset.initials = letters.toLocaleUpperCase();
  let hash = 0;
  for (const letter of name) {
    hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  }
  element.style.setProperty("--hue", String((hash * 47) % 360));
}

function badge(element, count) {
  element.hidden = count === 0;
  text(element, count > 99 ? "99+" : String(count || ""));
}

function make(tag, className = "", properties = {}) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  return Object.assign(element, properties);
}

function icon(id) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${id}`);
  svg.append(use);
  return svg;
}

function text(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}
