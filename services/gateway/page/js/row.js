// One event as a row that opens. Everything in an event is a stranger's: it is shown as text, and a link only if it is
// http or https.

import { make } from "./dom.js";
import { languageName, measure, moment, timeOfDay } from "./format.js";

const SUMMARY_CHARS = 400;
const FULL_CHARS = 20_000;
const SHOWN_PAIRS = 40;

export function makeRow(event) {
  const row = make("li", "row");
  row.dataset.sentiment = sentimentOf(event);
  const head = make("button", "row-head");
  head.type = "button";
  head.setAttribute("aria-expanded", "false");
  const time = make("time", "row-time", timeOfDay(event.ingested_at));
  time.dateTime = event.ingested_at;
  head.append(time, make("span", "row-from", mark(event.source), make("span", "row-kind", event.kind)), content(event), tags(event));
  head.addEventListener("click", () => toggle(row, head, event));
  row.append(head);
  return row;
}

const sentimentOf = (event) =>
  ["positive", "neutral", "negative"].includes(event.sentiment?.label) ? event.sentiment.label : "none";

function mark(source) {
  const name = make("span", "row-source", source);
  name.dataset.tint = String(tint(source));
  return name;
}

/** One of six tints, always the same for a source. */
function tint(source) {
  let sum = 7;
  for (const letter of source) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 6;
}

function content(event) {
  const box = make("span", "row-content");
  if (event.title) box.append(stranger("span", "row-title", event.title.slice(0, SUMMARY_CHARS)));
  if (event.text) box.append(stranger("span", "row-text", event.text.slice(0, SUMMARY_CHARS)));
  else if (hasEntries(event.measures)) box.append(measures(event.measures));
  else if (event.attributes?.type) box.append(stranger("span", "row-text", event.attributes.type));
  if (!box.childNodes.length) box.append(stranger("span", "row-text", event.id));
  return box;
}

function measures(values) {
  const box = make("span", "row-measures");
  for (const [name, value] of Object.entries(values).slice(0, 6)) {
    box.append(make("span", "row-measure", stranger("span", "row-measure-name", name), ` ${number(value)}`));
  }
  return box;
}

function tags(event) {
  const box = make("span", "row-tags");
  if (event.language) {
    const code = make("abbr", "row-language", event.language.code.slice(0, 8));
    code.title = languageName(event.language.code);
    box.append(code);
  }
  const label = sentimentOf(event);
  const sign = make("span", "row-sentiment", { positive: "+", negative: "−", neutral: "·", none: "" }[label]);
  if (label !== "none") {
    sign.title = `${label}, ${event.sentiment.score.toFixed(2)}`;
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", label);
  }
  box.append(sign);
  return box;
}

function toggle(row, head, event) {
  const open = row.querySelector(".row-more");
  if (open) open.remove();
  else row.append(details(event));
  head.setAttribute("aria-expanded", String(!open));
}

function details(event) {
  const box = make("div", "row-more");
  if (event.text) box.append(stranger("p", "row-full", event.text.slice(0, FULL_CHARS)));
  const facts = make("dl", "facts");
  const fact = (name, value) => value && facts.append(make("dt", "", name), make("dd", "", value));
  fact("Author", event.author && stranger("span", "", event.author));
  fact("Address", event.url && link(event.url));
  fact("Happened", moment(event.occurred_at));
  fact("Taken in", moment(event.ingested_at));
  fact("Language", event.language && `${languageName(event.language.code)}, ${percentSure(event.language.confidence)}`);
  fact("Sentiment", event.sentiment && `${event.sentiment.label} ${event.sentiment.score.toFixed(2)} by ${event.sentiment.model}`);
  fact("Place", event.location && place(event.location));
  for (const [name, value] of pairs(event.measures)) fact(name, number(value));
  for (const [name, value] of pairs(event.attributes)) fact(name, stranger("span", "", value));
  fact("Id", stranger("span", "", event.id));
  fact("Uid", event.uid && make("code", "", event.uid));
  box.append(facts);
  return box;
}

/** Text of any script and direction; it cannot turn the text around it. */
function stranger(tag, className, text) {
  const element = make(tag, className, String(text));
  element.dir = "auto";
  return element;
}

function link(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return stranger("span", "", text);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return stranger("span", "", text);
  const anchor = stranger("a", "", text);
  anchor.href = url.href;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  return anchor;
}

const place = ({ name, latitude, longitude }) =>
  [name, latitude !== null && longitude !== null ? `${latitude.toFixed(2)}, ${longitude.toFixed(2)}` : null].filter(Boolean).join(" · ");

const hasEntries = (map) => map && Object.keys(map).length > 0;
const pairs = (map) => Object.entries(map ?? {}).slice(0, SHOWN_PAIRS);
const number = (value) => (typeof value === "number" ? measure(value) : "–");
const percentSure = (confidence) => `${Math.round(confidence * 100)} % sure`;
