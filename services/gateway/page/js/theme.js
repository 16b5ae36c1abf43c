// Light, dark, or as the system: one button, remembered.

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const WORD = { auto: "Auto", light: "Light", dark: "Dark" };
const KEY = "penstock-theme";

export function startTheme(button, changed) {
  let theme = remembered();
  const show = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = WORD[theme];
    button.setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
    changed();
  };
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // storage is refused (a private window): the choice holds until the page goes
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show();
}

function remembered() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept in NEXT ? kept : "auto";
  } catch {
    return "auto";
  }
}
