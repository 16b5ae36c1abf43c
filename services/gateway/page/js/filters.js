// The filter bar: what is chosen lies in the address too, so that a view can be kept and shared.

import { make } from "./dom.js";
import { languageName } from "./format.js";

const KINDS = ["post", "comment", "article", "activity", "edit", "quote", "observation", "other"];
const SENTIMENTS = ["positive", "neutral", "negative"];
const FIELDS = ["text", "source", "kind", "language", "sentiment"];
const MOST_OPTIONS = 200;
const TYPING_MS = 300;

export class Filters {
  #form;
  #clear;
  #changed;
  #timer = 0;
  #current = "";

  constructor(form, clear, changed) {
    this.#form = form;
    this.#clear = clear;
    this.#changed = changed;
    for (const kind of KINDS) this.#offer("kind", kind, kind);
    for (const sentiment of SENTIMENTS) this.#offer("sentiment", sentiment, sentiment);
    this.#fromAddress();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    form.addEventListener("input", (event) => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#apply(), event.target.name === "text" ? TYPING_MS : 0);
    });
    form.addEventListener("reset", () => setTimeout(() => this.#apply(), 0)); // after the browser has emptied it
    addEventListener("hashchange", () => {
      this.#fromAddress();
      this.#apply();
    });
    this.#current = JSON.stringify(this.value);
    this.#clear.hidden = this.isEmpty;
  }

  /** As a subscribe wants it: only what is set. */
  get value() {
    const value = {};
    for (const field of FIELDS) {
      const chosen = this.#form.elements[field].value.trim();
      if (chosen) value[field] = chosen;
    }
    return value;
  }

  get isEmpty() {
    return Object.keys(this.value).length === 0;
  }

  /** Sources and languages are learnt from what comes by. */
  learn(source, language) {
    if (source) this.#offer("source", source, source);
    if (language) this.#offer("language", language, languageName(language));
  }

  #offer(field, value, label) {
    const select = this.#form.elements[field];
    const options = [...select.options].slice(1);
    if (options.length >= MOST_OPTIONS || options.some((option) => option.value === value)) return;
    const option = make("option", "", label);
    option.value = value;
    const before = field === "kind" || field === "sentiment" ? null : options.find((other) => other.text > label);
    select.add(option, before ?? null);
  }

  #fromAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const field of FIELDS) {
      const value = (wanted.get(field) ?? "").slice(0, 200);
      if (value && field !== "text") this.#offer(field, value, field === "language" ? languageName(value) : value);
      this.#form.elements[field].value = value;
    }
  }

  #apply() {
    clearTimeout(this.#timer);
    const value = this.value;
    const now = JSON.stringify(value);
    if (now === this.#current) return;
    this.#current = now;
    this.#clear.hidden = this.isEmpty;
    const address = new URLSearchParams(value).toString();
    history.replaceState(null, "", address ? `#${address}` : location.pathname);
    this.#changed(value);
  }
}
