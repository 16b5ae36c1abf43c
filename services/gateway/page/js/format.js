// Numbers and times as people read them; figures keep their width so that nothing jumps.

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const languages = new Intl.DisplayNames("en", { type: "language", fallback: "code" });

export const count = (n) => whole.format(n);

export const brief = (n) => (Math.abs(n) < 10_000 ? whole.format(Math.round(n)) : compact.format(n));

export const measure = (n) => exact.format(n);

/** Events per second: one digit behind the point only where it says something. */
export function rate(n) {
  if (n === 0) return "0";
  return n < 10 ? n.toFixed(1) : brief(n);
}

export function percent(share) {
  const points = share * 100;
  return `${points.toFixed(points > 0 && points < 10 ? 1 : 0)} %`;
}

export function timeOfDay(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? "" : clock.format(time);
}

export function moment(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? String(text) : full.format(time);
}

export function languageName(code) {
  try {
    return languages.of(code) ?? code;
  } catch {
    return code; // not a language tag: shown as it came
  }
}

export function span(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
