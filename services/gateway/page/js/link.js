// How this page is connected, in one word and one lamp: live, catching up, lagging, reconnecting.

import { byId, say } from "./dom.js";
import { brief, count, span } from "./format.js";

const LAGGING_RECORDS = 2000;
const LAGGING_MS = 5000;
const NOTICE_MS = 20_000;
const WORDS = {
  connecting: "Connecting",
  reconnecting: "Reconnecting",
  live: "Live",
  lagging: "Lagging",
  behind: "Catching up",
};

export class Link {
  missed = 0;
  #since = 0;
  #timer = 0;

  state(name, retryMs = 0) {
    if (name === "reconnecting" && !this.#since) this.#since = Date.now();
    if (name === "reconnecting") {
      this.notice(
        `No connection to the gateway for ${span(Date.now() - this.#since)}. Nothing is lost: the feed goes on where it stood.` +
          (retryMs > 1500 ? ` Next try in ${span(retryMs)}.` : ""),
        { stays: true },
      );
    }
    this.#show(name, "");
  }

  cursor({ lag, lag_ms: lagMs, live }) {
    if (this.#since) {
      this.#since = 0;
      this.notice("");
    }
    const late = lag > LAGGING_RECORDS || lagMs > LAGGING_MS;
    const detail = lag > 0 && (late || !live) ? `${brief(lag)} behind${lagMs > 1000 ? `, ${span(lagMs)}` : ""}` : "";
    this.#show(!live && lag > 0 ? "behind" : late ? "lagging" : "live", detail);
  }

  dropped({ count: n, why }) {
    this.missed += n;
    say(byId("missed"), count(this.missed));
    this.notice(
      why === "slow"
        ? `This page did not keep up: ${count(this.missed)} events were left out. Narrow the filter to see all of what you look for.`
        : `Up to ${count(n)} events are older than the topic keeps, and were skipped.`,
    );
  }

  /** One sentence above the feed; it goes by itself unless it `stays`. */
  notice(text, { stays = false } = {}) {
    clearTimeout(this.#timer);
    const notice = byId("notice");
    notice.hidden = !text;
    say(notice, text);
    if (text && !stays) this.#timer = setTimeout(() => this.notice(""), NOTICE_MS);
  }

  #show(name, detail) {
    byId("link").dataset.state = name;
    say(byId("link-word"), WORDS[name]);
    say(byId("link-detail"), detail);
    document.title = name === "live" ? "Penstock" : `${WORDS[name]} · Penstock`;
  }
}
