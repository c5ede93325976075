// The box at the bottom: text, a picture to go with it, and the news that somebody is typing.

import { PictureError, megabytes, pick, prepare } from "./pictures.js";
import { label } from "./view.js";

const $ = (id) => document.getElementById(id);
const SAY_TYPING_MS = 2_500;
const IDLE_MS = 4_000;

export class Composer {
  // `actions`: send(conversation, {text} or {blob}), typing(on), changed().
  constructor(state, actions) {
    this.state = state;
    this.actions = actions;
    this.said = 0;
    this.idle = 0;
    this.dragging = 0;
    this.showing = state.current;
    this.listen();
  }

  listen() {
    const text = $("text");
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    text.addEventListener("input", () => {
      this.grow();
      this.check();
      this.typed();
    });
    text.addEventListener("keydown", (event) => {
      // While an input method composes a character, Enter belongs to it.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.submit();
      }
    });
    text.addEventListener("blur", () => this.stopped());
    $("choose-picture").addEventListener("click", () => $("picture").click());
    $("picture").addEventListener("change", () => {
      this.attach([...$("picture").files]);
      // So that the same file can be chosen twice.
      $("picture").value = "";
    });
    $("attachment-remove").addEventListener("click", () => {
      this.detach();
      text.focus();
    });
    document.addEventListener("paste", (event) => {
      if (!$("chat").hidden && event.clipboardData?.files.length) {
        event.preventDefault();
        this.attach([...event.clipboardData.files]);
      }
    });
    this.listenForDrops();
  }

  listenForDrops() {
    const zone = $("chat");
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const shade = (on) => {
      this.dragging = on ? this.dragging : 0;
      $("drop").hidden = !on;
      $("drop-text").textContent = `Drop the picture to add it to your message to ${label(this.state.current)}`;
    };
    zone.addEventListener("dragenter", (event) => {
      if (files(event)) {
        this.dragging += 1;
        shade(true);
      }
    });
    zone.addEventListener("dragleave", (event) => {
      if (files(event) && (this.dragging -= 1) <= 0) {
        shade(false);
      }
    });
    zone.addEventListener("dragover", (event) => files(event) && event.preventDefault());
    zone.addEventListener("drop", (event) => {
      if (files(event)) {
        event.preventDefault();
        shade(false);
        this.attach([...event.dataTransfer.files]);
      }
    });
  }

  submit() {
    const conversation = this.state.current;
    const words = $("text").value.trim();
    const { attachment } = conversation;
    if (!this.check()) {
      return;
    }
    this.stopped();
    if (attachment) {
      this.actions.send(conversation, { blob: attachment.blob });
      this.detach();
    }
    if (words) {
      this.actions.send(conversation, { text: words });
      $("text").value = "";
      this.grow();
    }
    this.complain("");
    $("text").focus();
  }

  // Whether the text is short enough. Counted like the server counts, in characters rather than UTF-16 units.
  check() {
    const length = [...$("text").value.trim()].length;
    const { text } = this.state.limits;
    const fits = length <= text;
    this.complain(fits ? "" : `A message has at most ${text} characters; this one has ${length}.`);
    return fits;
  }

  async attach(files) {
    const conversation = this.state.current;
    const file = pick(files);
    if (!file) {
      return;
    }
    this.complain("");
    try {
      const blob = await prepare(file, this.state.limits.picture);
      this.detach(conversation);
      conversation.attachment = { blob, url: URL.createObjectURL(blob), name: file.name };
    } catch (error) {
      if (!(error instanceof PictureError)) {
        throw error;
      }
      this.complain(error.message);
    }
    this.drawAttachment();
    $("text").focus();
  }

  detach(conversation = this.state.current) {
    if (conversation.attachment) {
      URL.revokeObjectURL(conversation.attachment.url);
      conversation.attachment = null;
    }
    this.drawAttachment();
  }

  drawAttachment() {
    const { attachment } = this.state.current;
    $("attachment").hidden = !attachment;
    if (attachment) {
      $("attachment-picture").src = attachment.url;
      $("attachment-text").textContent = `${attachment.name || "Picture"} · ${megabytes(attachment.blob.size)}`;
    } else {
      $("attachment-picture").removeAttribute("src");
    }
  }

  complain(words) {
    if ($("composer-error").textContent !== words) {
      $("composer-error").textContent = words;
    }
  }

  // What was begun in one conversation waits there while another is open.
  store() {
    this.stopped();
    this.showing.draft = $("text").value;
  }

  load() {
    this.showing = this.state.current;
    $("text").value = this.showing.draft;
    this.complain("");
    this.drawAttachment();
    this.grow();
  }

  grow() {
    const text = $("text");
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  }

  typed() {
    clearTimeout(this.idle);
    if (!$("text").value.trim()) {
      this.stopped();
      return;
    }
    this.idle = setTimeout(() => this.stopped(), IDLE_MS);
    if (Date.now() - this.said > SAY_TYPING_MS) {
      this.said = Date.now();
      this.actions.typing(true);
    }
  }

  stopped() {
    clearTimeout(this.idle);
    if (this.said) {
      this.said = 0;
      this.actions.typing(false);
    }
  }
}
