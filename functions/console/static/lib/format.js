/** Numbers, money and times as people read them; whatever is no value is a dash. */

const NONE = "–";
const WHOLE = new Intl.NumberFormat();
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** A whole number with its separators: 1,234,567. @param {number|null|undefined} value @returns {string} */
export function number(value) {
  return value == null ? NONE : WHOLE.format(value);
}

/** A large number in short: 1.2M. @param {number|null|undefined} value @returns {string} */
export function compact(value) {
  return value == null ? NONE : COMPACT.format(value);
}

/** An amount; the API sends decimal texts. Small ones keep two digits that count: $0.00067. @param {string|number|null|undefined} amount @param {string} [currency] @returns {string} */
export function money(amount, currency) {
  if (amount == null || amount === "") return NONE;
  const value = Number(amount);
  const small = value !== 0 && Math.abs(value) < 0.01;
  const digits = small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return new Intl.NumberFormat(undefined, { style: "currency", currency: currency || "USD", ...digits }).format(value);
}

/** A share of 1 as percent. @param {number|null|undefined} value @returns {string} */
export function percent(value) {
  if (value == null || !Number.isFinite(value)) return NONE;
  return new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 }).format(value);
}

/** Milliseconds: 340 ms, 1.2 s, 3 min. @param {number|null|undefined} ms @returns {string} */
export function duration(ms) {
  if (ms == null) return NONE;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

/** Bytes: 12 kB. @param {number|null|undefined} count @returns {string} */
export function bytes(count) {
  if (count == null) return NONE;
  const units = ["B", "kB", "MB", "GB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

/** A moment, in the reader's zone. @param {string|null|undefined} iso @returns {string} */
export function time(iso) {
  return iso ? SHORT.format(new Date(iso)) : NONE;
}

/** A moment to the second. @param {string|null|undefined} iso @returns {string} */
export function moment(iso) {
  return iso ? MOMENT.format(new Date(iso)) : NONE;
}

/** How long ago or ahead a moment is: "3 hours ago". @param {string|null|undefined} iso @param {number} [now] @returns {string} */
export function ago(iso, now = Date.now()) {
  if (!iso) return NONE;
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return RELATIVE.format(Math.round(seconds / size), unit);
}

/** The day of a moment as the API writes it, in UTC: 2026-01-31. @param {Date} date @returns {string} */
export function isoDay(date) {
  return date.toISOString().slice(0, 10);
}

/** The day so many days before another, in UTC. @param {number} days @param {Date} [from] @returns {string} */
export function daysBefore(days, from = new Date()) {
  return isoDay(new Date(from.getTime() - days * 86_400_000));
}

/** A day so many days after another, in UTC; what is no day stays as it is, for the API to say so. @param {string} day @param {number} days @returns {string} */
export function shiftDay(day, days) {
  const at = new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000);
  return Number.isNaN(at.getTime()) ? day : isoDay(at);
}

/** All days from one to another, both of them included. @param {string} first @param {string} last @returns {string[]} */
export function daysBetween(first, last) {
  const found = [];
  for (let at = Date.parse(first); at <= Date.parse(last) && found.length < 400; at += 86_400_000) {
    found.push(isoDay(new Date(at)));
  }
  return found;
}

/** A text in at most so many characters. @param {string|null|undefined} text @param {number} [most] @returns {string} */
export function shorten(text, most = 80) {
  if (text == null) return NONE;
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** A name of the API as people read it: "dead_letters" is "Dead letters". @param {string|null|undefined} name @returns {string} */
export function words(name) {
  if (!name) return NONE;
  const text = String(name).replace(/[._-]+/g, " ");
  return text[0].toUpperCase() + text.slice(1);
}
