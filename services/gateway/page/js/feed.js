// The live list. Bounded, so that it can stay open all day: a few hundred events in memory, fewer as rows. Rows come in
// beats of a second and only as many as can be read; while somebody reads (points at it, scrolled down, opened a row)
// it holds still, and what came meanwhile is shown at once on going on.

import { byId, say } from "./dom.js";
import { count, rate } from "./format.js";
import { makeRow } from "./row.js";

const KEPT = 600;
const MOST_ROWS = 150;
const ROWS_PER_BEAT = 8;
const BEAT_MS = 500;
const RATE_WINDOW_MS = 5000;

/** At most `count` of the entries, evenly spread, the newest among them. */
function sample(entries, count) {
  if (entries.length <= count) return entries;
  return Array.from({ length: count }, (_, index) => entries[Math.ceil(((index + 1) * entries.length) / count) - 1]);
}

export class EventList {
  #list = byId("events");
  #pauseButton = byId("pause");
  #resume = byId("resume");
  #pace = byId("pace");
  #kept = []; // newest last: {key, event}
  #keys = new Set();
  #unshown = []; // of #kept, what is not a row yet
  #arrivals = []; // times, for the rate
  #paused = false; // by the button
  #pointed = false;
  #passed = 0; // since the last reset, what was never shown as a row
  seen = 0;

  constructor() {
    this.#pauseButton.addEventListener("click", () => this.pause(!this.#paused));
    this.#resume.addEventListener("click", () => this.goOn());
    this.#list.addEventListener("pointerenter", (event) => this.#point(event.pointerType === "mouse"));
    this.#list.addEventListener("pointerleave", () => this.#point(false));
    this.#list.addEventListener("keydown", (event) => this.#walk(event));
    setInterval(() => this.#beat(), BEAT_MS);
  }

  get size() {
    return this.#kept.length;
  }

  /** An event again (a resumed feed tells some twice) is left out. */
  add(event, key) {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    const entry = { key, event };
    this.#kept.push(entry);
    this.#unshown.push(entry);
    this.seen += 1;
    this.#arrivals.push(performance.now());
    if (this.#kept.length > KEPT) this.#keys.delete(this.#kept.shift().key);
    if (this.#unshown.length > KEPT) this.#unshown.shift();
  }

  /** Events from before the page was opened, newest first: they go below what is there. */
  addOlder(entries) {
    for (const entry of entries) {
      if (this.#keys.has(entry.key) || this.#kept.length >= KEPT) continue;
      this.#keys.add(entry.key);
      this.#kept.unshift(entry);
      this.#list.append(makeRow(entry.event));
    }
  }

  clear() {
    this.#kept = [];
    this.#keys.clear();
    this.#unshown = [];
    this.#arrivals = [];
    this.#passed = 0;
    this.#list.replaceChildren();
  }

  pause(paused) {
    this.#paused = paused;
    this.#pauseButton.setAttribute("aria-pressed", String(paused));
    say(this.#pauseButton, paused ? "Go on" : "Pause");
    if (!paused) this.#showAll();
    this.#tell();
  }

  goOn() {
    this.#pointed = false;
    for (const open of this.#list.querySelectorAll(".row-head[aria-expanded=true]")) open.click();
    this.#list.scrollTop = 0;
    this.pause(false);
  }

  /** Shows at once what is waiting: used after a pause and for what was loaded on opening. */
  #showAll() {
    this.#insert(this.#unshown.slice(-MOST_ROWS));
    this.#unshown = [];
  }

  #beat() {
    const now = performance.now();
    while (this.#arrivals.length && this.#arrivals[0] < now - RATE_WINDOW_MS) this.#arrivals.shift();
    if (!this.#held && !document.hidden && this.#unshown.length) {
      if (!this.#list.childElementCount) {
        this.#showAll();
      } else {
        this.#passed = Math.max(0, this.#unshown.length - ROWS_PER_BEAT);
        this.#insert(sample(this.#unshown, ROWS_PER_BEAT));
        this.#unshown = [];
      }
    }
    this.#tell();
  }

  #insert(entries) {
    const fresh = document.createDocumentFragment();
    for (const entry of entries.toReversed()) fresh.append(makeRow(entry.event));
    this.#list.prepend(fresh);
    while (this.#list.childElementCount > MOST_ROWS) this.#list.lastElementChild.remove();
  }

  get #held() {
    return (
      this.#paused ||
      this.#pointed ||
      this.#list.scrollTop > 40 ||
      this.#list.querySelector(".row-head[aria-expanded=true], .row-head:focus-visible") !== null
    );
  }

  #point(pointed) {
    this.#pointed = pointed;
    if (!pointed && !this.#held) this.#showAll();
    this.#tell();
  }

  #tell() {
    const waiting = this.#held ? this.#unshown.length : 0;
    this.#resume.hidden = waiting === 0;
    if (waiting) say(this.#resume, `${waiting >= KEPT ? `${count(KEPT)}+` : count(waiting)} new, held while you read. Go on`);
    const perSecond = this.#arrivals.length / (RATE_WINDOW_MS / 1000);
    const shown = this.#passed > 0 && !this.#held ? ` of ${rate(perSecond)} a second` : "";
    say(this.#pace, this.#held && this.#list.childElementCount ? "Held" : perSecond ? (shown ? `The newest${shown}` : `${rate(perSecond)} a second`) : "");
  }

  /** Arrow keys walk through the rows. */
  #walk(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const row = event.target.closest(".row");
    if (!step || !row) return;
    event.preventDefault();
    row[step]?.querySelector(".row-head").focus();
  }
}


