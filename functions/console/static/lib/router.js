/**
 * The address: `#/prompts/greeting?tab=versions`. A page's filters and its place in a list stand there, so that a
 * link can be sent and the back button works.
 */
import { signal } from "@preact/signals";

/**
 * @typedef {object} Place
 * @property {string} path Such as "/prompts/greeting".
 * @property {Record<string, string>} query The filter, by name.
 */

/** Read an address. @param {string} hash @returns {Place} */
export function parse(hash) {
  const [path, search] = hash.replace(/^#/, "").split("?", 2);
  return { path: path.startsWith("/") ? path : "/", query: Object.fromEntries(new URLSearchParams(search ?? "")) };
}

/** Write an address; what is empty in the filter is left out. @param {string} path @param {Record<string, unknown>} [query] @returns {string} */
export function link(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value != null && value !== false);
  const search = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return `#${path}${search ? `?${search}` : ""}`;
}

/** Fill a pattern: fill("/prompts/:name", {name: "a b"}) is "/prompts/a%20b". @param {string} pattern @param {Record<string, string>} params @returns {string} */
export function fill(pattern, params) {
  return pattern.replace(/:([a-z_]+)/g, (_, name) => encodeURIComponent(params[name]));
}

/** Read a path by a pattern; null where it is another one. @param {string} pattern @param {string} path @returns {Record<string, string>|null} */
export function match(pattern, path) {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  if (wanted.length !== given.length) return null;
  const params = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith(":")) {
      if (!given[index]) return null;
      try {
        params[part.slice(1)] = decodeURIComponent(given[index]);
      } catch {
        return null; // a broken escape is another path
      }
      if (/^\.\.?$/.test(params[part.slice(1)])) return null; // to the API it would be another path
    } else if (part !== given[index]) return null;
  }
  return params;
}

/** Where the reader is. @type {import("@preact/signals").Signal<Place>} */
export const place = signal(parse(globalThis.location?.hash ?? ""));

/** The question that is asked before a page with unsaved work is left; null where nothing is to be lost. @type {import("@preact/signals").Signal<{go: () => void}|null>} */
export const leaving = signal(null);

const unsaved = new Set();
let current = globalThis.location?.hash ?? "";

/** Say whether a part of the page has work that would be lost; the shell asks before the page is left. @param {string} part @param {boolean} value */
export function holdUnsaved(part, value) {
  if (value) unsaved.add(part);
  else unsaved.delete(part);
}

/** Say that nothing is to be lost any more: all of it was saved. */
export function releaseUnsaved() {
  unsaved.clear();
}

/** Go to an address; `replace` leaves no entry in the history. @param {string} path @param {Record<string, unknown>} [query] @param {{replace?: boolean}} [how] */
export function navigate(path, query = {}, { replace = false } = {}) {
  go(link(path, query), replace);
}

/** Change the filter of this page; the cursor goes unless it is given. @param {Record<string, unknown>} changes @param {{replace?: boolean}} [how] */
export function setQuery(changes, { replace = false } = {}) {
  const { path, query } = place.value;
  go(link(path, { ...query, cursor: undefined, ...changes }), replace);
}

/** Leave the page though it has unsaved work, or stay. @param {boolean} leave */
export function answerLeaving(leave) {
  const asked = leaving.value;
  leaving.value = null;
  if (leave && asked) {
    unsaved.clear();
    asked.go();
  }
}

/** Do what ends the page without another address, such as work for another tenant; ask before unsaved work is lost. @param {() => void} go */
export function leaveFor(go) {
  if (unsaved.size) leaving.value = { go };
  else go();
}

/** Begin to follow the address, as it is now. */
export function startRouter() {
  current = location.hash; // who comes back from a provider is where the way there began
  place.value = parse(current);
  addEventListener("hashchange", arrive);
  addEventListener("beforeunload", (event) => unsaved.size && event.preventDefault());
}

function go(hash, replace) {
  if (!replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  current = hash;
  place.value = parse(hash);
}

function arrive() {
  const asked = location.hash;
  if (asked === current) return;
  const [before, after] = [parse(current), parse(asked)];
  if (unsaved.size && before.path !== after.path) {
    history.replaceState(null, "", current || "#/");
    leaving.value = { go: () => (location.hash = asked) };
    return;
  }
  current = asked;
  place.value = after;
}
