// What stands beside the feed: duplicates, what waits where, dead letters, and the parts everything stands on.

import { byId, make, say } from "./dom.js";
import { brief, count, percent } from "./format.js";

export function showStats({ stages, duplicates, feed }) {
  say(byId("duplicate-share"), duplicates.share === null ? "–" : percent(duplicates.share));
  byId("duplicate-level").style.setProperty("--level", String(duplicates.share ?? 0));
  say(byId("duplicate-count"), `${count(duplicates.count)} in all, the share of the last minute`);

  const waiting = stages.filter(({ lag }) => lag !== null);
  const most = waiting.reduce((found, stage) => (stage.lag > found.lag ? stage : found), { lag: 0 });
  say(byId("lag"), waiting.length ? brief(waiting.reduce((sum, { lag }) => sum + lag, 0)) : "–");
  say(byId("lag-where"), most.lag ? `events between stages, most of them before ${most.stage}` : "Every stage is at the end of its input");

  const dead = stages.filter((stage) => stage.dead > 0);
  say(byId("dead"), count(dead.reduce((sum, stage) => sum + stage.dead, 0)));
  say(byId("dead-where"), dead.length ? dead.map(({ stage, dead: n }) => `${stage} ${count(n)}`).join(", ") : "No event was set aside");
  say(byId("clients"), feed.behind ? `${count(feed.clients)}, ${count(feed.behind)} catching up` : count(feed.clients));
}

export function showParts(parts) {
  fill(byId("parts"), parts, (row, { name, state, detail }) => {
    row.dataset.state = state;
    say(part(row, "part-name"), name);
    say(part(row, "part-state"), state === "error" ? detail : state);
  });
}

/** The gateway itself does not answer: nothing is known of what it stands on. */
export function forgetParts() {
  for (const row of byId("parts").children) {
    row.dataset.state = "unknown";
    say(part(row, "part-state"), "unknown");
  }
}

/** As many rows as there are things, each kept from one call to the next. */
function fill(list, things, show) {
  while (list.childElementCount > things.length) list.lastElementChild.remove();
  things.forEach((thing, index) => {
    if (!list.children[index]) list.append(blank());
    show(list.children[index], thing);
  });
}

const part = (row, className) => row.querySelector(`.${className}`);

const blank = () => make("li", "part", make("span", "lamp"), make("span", "part-name"), make("span", "part-state"));
