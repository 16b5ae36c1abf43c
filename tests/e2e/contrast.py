"""How far text stands out from what lies behind it, for all text that a page shows."""

from playwright.async_api import Page

LEAST = 4.5
"""WCAG 2.2, 1.4.3, for text of any size."""

_STATES = """() => {
  const states = ["processing", "ready", "idle", "error", "unknown", "error", "processing"];
  [...document.querySelectorAll(".stage")].forEach((stage, at) => {
    stage.dataset.state = states[at];
    stage.querySelector(".stage-state").textContent = states[at];
    stage.querySelector(".stage-detail").textContent = states[at] === "error" ? "does not answer" : "";
  });
  for (const part of document.querySelectorAll(".part:first-child")) part.dataset.state = "error";
  for (const id of ["notice", "resume", "clear"]) {
    document.getElementById(id).hidden = false;
    document.getElementById(id).textContent ||= "what is told here";
  }
  document.getElementById("pause").setAttribute("aria-pressed", "true");
  document.getElementById("link-detail").textContent = "12 behind";
}"""
"""What a page can come to look like, all at once: no stage, part or notice has a colour that is left out."""

_MEASURE = """(link) => {
  document.getElementById("link").dataset.state = link;
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const over = (top, alpha, below) => top.map((part, at) => part * alpha + below[at] * (1 - alpha));
  const lineage = (element) => element === null ? [] : [...lineage(element.parentElement), element];
  const ground = (element) => lineage(element).reduce((below, one) => {
    const { rgb, alpha } = parse(getComputedStyle(one).backgroundColor);
    return over(rgb, alpha, below);
  }, [255, 255, 255]);
  const opacity = (element) => lineage(element).reduce((all, one) => all * getComputedStyle(one).opacity, 1);
  const luminance = (rgb) => {
    const linear = (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const [red, green, blue] = rgb.map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (element, colour) => {
    const below = ground(element);
    const { rgb, alpha } = parse(colour);
    const [low, high] = [over(rgb, alpha * opacity(element), below), below].map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const found = {};
  const note = (element, what, colour) => {
    const state = element.closest("[data-state], [data-sentiment]")?.dataset;
    const name = `${what} ${state ? (state.state ?? state.sentiment) : ""}`.trim();
    found[name] = Math.min(found[name] ?? Infinity, ratio(element, colour));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest("script, style, noscript, option")) continue;
    note(element, element.className || element.id || element.localName, getComputedStyle(element).color);
  }
  for (const field of document.querySelectorAll("input, select")) {
    note(field, `${field.name} filled`, getComputedStyle(field).color);
    if (!field.matches(":placeholder-shown")) continue;
    note(field, `${field.name} empty`, getComputedStyle(field, "::placeholder").color);
  }
  return found;
}"""


async def contrasts(page: Page) -> dict[str, float]:
    """From what is written, and in which state, to the ratio; in every state that the page has colours for."""
    found: dict[str, float] = {}
    for link in ("live", "lagging", "behind", "reconnecting", "connecting"):
        await page.evaluate(_STATES)
        measured: dict[str, float] = await page.evaluate(_MEASURE, link)
        for name, ratio in measured.items():
            found[name] = min(ratio, found.get(name, ratio))
    return found
