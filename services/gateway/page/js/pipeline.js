// The stages in the order an event meets them: how each is, its rate now and over the last minutes, and what waits.

import uPlot from "../vendor/uPlot.esm.js";
import { byId, make, say } from "./dom.js";
import { brief, rate } from "./format.js";

const NAMES = {
  ingest: "Ingest",
  dedup: "Dedup",
  enrich: "Enrich",
  sentiment: "Sentiment",
  "sink-postgres": "Postgres",
  "sink-s3": "S3",
  gateway: "Gateway",
};
const SPAN_S = 300;

export class Pipeline {
  #cards = new Map();
  #times = [];
  #observer = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const card = this.#cards.get(target.dataset.stage);
      if (card && contentRect.width > 0) card.plot.setSize({ width: Math.floor(contentRect.width), height: Math.floor(contentRect.height) });
    }
  });

  constructor() {
    for (const [stage, name] of Object.entries(NAMES)) this.#cards.set(stage, this.#card(stage, name));
  }

  /** history: {at_ms, per_s} as /api/stats gives it. */
  load(history) {
    this.#times = history.at_ms.map((at) => at / 1000);
    for (const [stage, card] of this.#cards) card.values = history.per_s[stage] ?? this.#times.map(() => null);
    this.#draw();
  }

  update(stats) {
    this.#times.push(Date.parse(stats.at) / 1000);
    for (const found of stats.stages) {
      const card = this.#cards.get(found.stage);
      if (!card) continue;
      card.values.push(found.per_s);
      say(card.rate, rate(found.per_s));
      say(card.wait, found.lag ? `${brief(found.lag)} waiting` : "");
      card.root.style.setProperty("--flow", found.per_s > 0 ? `${Math.max(0.6, 6 - Math.log10(1 + found.per_s) * 1.6)}s` : "0s");
      card.root.dataset.flows = String(found.per_s > 0);
    }
    const old = this.#times.findIndex((time) => time >= this.#times.at(-1) - SPAN_S);
    if (old > 0) {
      this.#times.splice(0, old);
      for (const card of this.#cards.values()) card.values.splice(0, card.values.length - this.#times.length);
    }
    this.#draw();
  }

  health(services) {
    for (const [stage, card] of this.#cards) {
      const own = services.filter(({ name }) => name === stage || name.startsWith(`${stage}.`));
      const worst = own.find(({ state }) => state === "error") ?? own[0];
      if (!worst) continue;
      card.root.dataset.state = worst.state;
      say(card.state, worst.state);
      card.root.title = worst.detail;
      say(card.detail, worst.state === "error" ? worst.detail : "");
    }
  }

  /** The gateway itself does not answer: nothing is known of anything. */
  unknown() {
    for (const card of this.#cards.values()) {
      card.root.dataset.state = "unknown";
      card.root.dataset.flows = "false";
      say(card.state, "unknown");
      say(card.detail, "");
    }
  }

  repaint() {
    for (const card of this.#cards.values()) card.plot.redraw(false);
  }

  #card(stage, name) {
    const card = {
      root: make("li", "stage"),
      rate: make("span", "stage-rate", "–"),
      state: make("span", "stage-state", "unknown"),
      wait: make("span", "stage-wait"),
      detail: make("p", "stage-detail"),
      values: [],
    };
    const plot = make("div", "stage-plot");
    plot.dataset.stage = stage;
    plot.setAttribute("aria-hidden", "true");
    card.root.dataset.stage = stage;
    card.root.dataset.state = "unknown";
    card.root.append(
      make("div", "stage-pipe"),
      make("div", "stage-head", make("span", "lamp"), make("h3", "stage-name", name), card.state),
      make("p", "stage-figures", card.rate, make("span", "stage-unit", "/s"), card.wait),
      plot,
      card.detail,
    );
    byId("stages").append(card.root);
    card.plot = new uPlot(options(plot), [[], []], plot);
    this.#observer.observe(plot);
    return card;
  }

  #draw() {
    const all = [...this.#cards.values()];
    const top = Math.max(1, ...all.flatMap(({ values }) => values.map((value) => value ?? 0)));
    for (const card of all) {
      card.top = top;
      card.plot.setData([this.#times, card.values], false);
      const end = this.#times.at(-1) ?? 0;
      card.plot.batch(() => {
        card.plot.setScale("x", { min: end - SPAN_S, max: end });
        card.plot.setScale("y", { min: 0, max: top * 1.08 });
      });
    }
  }
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A sparkline on the scale that all stages share; pointing at one shows the same second on all of them. */
function options(target) {
  return {
    width: Math.max(60, target.clientWidth),
    height: Math.max(20, target.clientHeight),
    padding: [4, 0, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "stages", setSeries: false }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true, auto: false }, y: { auto: false } },
    axes: [{ show: false }, { show: false }],
    series: [{}, { width: 1.5, points: { show: false }, stroke: () => colour("--water"), fill: () => colour("--water-fill"), spanGaps: false }],
    hooks: { setCursor: [showValue] },
  };
}

function showValue(plot) {
  const { idx } = plot.cursor;
  const value = idx === null || idx === undefined ? null : plot.data[1][idx];
  const parent = plot.root.parentElement;
  if (value === null || value === undefined) {
    delete parent.dataset.value;
    return;
  }
  const at = new Date(plot.data[0][idx] * 1000).toLocaleTimeString("en-GB");
  parent.dataset.value = `${rate(value)}/s at ${at}`;
}
