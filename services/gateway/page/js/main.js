// The page, wired: the only module that knows all the others.

import { byId, say } from "./dom.js";
import { EventList } from "./feed.js";
import { Filters } from "./filters.js";
import { count } from "./format.js";
import { forgetParts, showParts, showStats } from "./gauges.js";
import { Link } from "./link.js";
import { Pipeline } from "./pipeline.js";
import { Feed } from "./socket.js";
import { startTheme } from "./theme.js";

const LOOK_MS = 1000;
const TIMEOUT_MS = 4000;
const HISTORY_S = 300;
const FIRST_EVENTS = 50;
const TOO_FAR_BEHIND = 50_000;

const link = new Link();
const list = new EventList();
const pipeline = new Pipeline();
const filters = new Filters(byId("filters"), byId("clear"), (filter) => watch(filter));
startTheme(byId("theme"), () => pipeline.repaint());

const feed = new Feed({
  state: (name, retryMs) => link.state(name, retryMs),
  cursor: (message) => {
    link.cursor(message);
    if (!message.live && message.lag > TOO_FAR_BEHIND) {
      // Asleep for hours: what was missed is in the database; a page that reads it all would be live never.
      link.dropped({ count: message.lag, why: "slow" });
      feed.subscribe(filters.value);
    }
  },
  dropped: (message) => link.dropped(message),
  error: (message) => link.notice(`The gateway says: ${message.detail}`),
  event: ({ event, partition, offset }) => take(event, event.uid ?? `${partition}:${offset}`),
});

let asked = 0; // counts subscriptions, so that a late answer to an earlier one is not shown

function take(event, key) {
  filters.learn(event.source, event.language?.code);
  list.add(event, key);
}

function watch(filter) {
  list.clear();
  feed.subscribe(filter);
  loadNewest(filter);
}

/** The newest stored events, so that the list does not begin empty; it is no loss if there is no database. */
async function loadNewest(filter) {
  asked += 1;
  const mine = asked;
  try {
    const { events } = await get(`/api/events?${new URLSearchParams({ ...filter, limit: String(FIRST_EVENTS) })}`);
    if (mine !== asked) return;
    for (const event of events) filters.learn(event.source, event.language?.code);
    list.addOlder(events.map((event) => ({ event, key: event.uid ?? event.id })));
  } catch {
    return;
  }
}

async function get(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

let known = false; // whether the history is in

async function look() {
  try {
    const [stats, health] = await Promise.all([get(known ? "/api/stats" : `/api/stats?history=${HISTORY_S}`), get("/api/health")]);
    if (!known) pipeline.load(stats.history);
    known = true;
    pipeline.update(stats);
    pipeline.health(health.services);
    showStats(stats);
    showParts(health.parts);
  } catch {
    known = false;
    pipeline.unknown();
    forgetParts();
  }
  setTimeout(look, document.hidden ? LOOK_MS * 5 : LOOK_MS);
}

function tell() {
  say(byId("seen"), count(list.seen));
  byId("empty").hidden = list.size > 0;
  say(byId("empty-word"), filters.isEmpty ? "Waiting for the first event" : "Nothing that matches has come yet");
  byId("empty-commands").hidden = !filters.isEmpty;
}

addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    byId("text").focus();
  }
  if (event.key === "p") byId("pause").click();
});

setInterval(tell, 500);
tell();
watch(filters.value);
look();
