// The only way this page makes elements: text goes in as text, never as markup.

/** make("li", "row", "text") or make("li", "row", child, child); null children are left out. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets a text only where it changed: untouched nodes cost no layout and keep a reader's selection. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
