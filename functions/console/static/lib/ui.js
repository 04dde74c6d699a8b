/**
 * The parts that pages are made of. Each has a role and a name, works by keyboard, and shows every value as text.
 */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { holdUnsaved, link, place, setQuery } from "./router.js";
import { ago, moment, number, percent, shorten, words } from "./format.js";

/** Join class names; what is false is left out. @param {...(string|false|null|undefined)} names @returns {string} */
export function classes(...names) {
  return names.filter(Boolean).join(" ");
}

let arriving = false;

/** The next page's title gets the focus, so that it is read out. */
export function announceNextPage() {
  arriving = true;
}

/**
 * A page: its title (also the window's), a sentence, and what can be done.
 * @param {{title: string, about?: string, actions?: any, back?: {href: string, label: string}, children: any}} props
 */
export function Page({ title, about, actions, back, children }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${title} · Tenantry`;
  }, [title]);
  useEffect(() => {
    if (arriving) heading.current.focus({ preventScroll: true });
    arriving = false;
  }, []);
  return html`<div class="page">
    ${back && html`<a class="back" href=${back.href}>← ${back.label}</a>`}
    <header class="page-head">
      <div><h1 tabindex="-1" ref=${heading}>${title}</h1>${about && html`<p class="muted">${about}</p>`}</div>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </div>`;
}

/** A box with a heading. @param {{title?: string, about?: string, actions?: any, class?: string, children: any}} props */
export function Card({ title, about, actions, children, class: more }) {
  const id = useId();
  return html`<section class=${classes("card", more)} aria-labelledby=${title ? id : undefined}>
    ${title && html`<header class="card-head"><div><h2 id=${id}>${title}</h2>${about && html`<p class="muted">${about}</p>`}</div>
      ${actions && html`<div class="actions">${actions}</div>`}</header>`}
    ${children}
  </section>`;
}

/**
 * A button; while its work runs it says so and takes no second click. An error of `onClick` is shown as a toast unless
 * the page catches it.
 * @param {{onClick?: (event: Event) => any, kind?: "primary"|"plain"|"danger"|"link", type?: string, busy?: boolean, disabled?: boolean, children: any}} props
 */
export function Button({ onClick, kind = "plain", type = "button", busy = false, disabled = false, children, ...rest }) {
  const [working, setWorking] = useState(false);
  const active = busy || working;
  const run = async (event) => {
    if (active) return;
    setWorking(true);
    try {
      await onClick(event);
    } catch (error) {
      if (error.name !== "AbortError") toastError(error);
    } finally {
      setWorking(false);
    }
  };
  // One that is disabled would lose the focus, and a dialog could not give it back.
  return html`<button ...${rest} type=${type} class=${classes("button", `button-${kind}`)} disabled=${disabled}
    aria-disabled=${active ? "true" : undefined} aria-busy=${active ? "true" : undefined} onClick=${onClick && run}>${children}</button>`;
}

/** A link that looks as a button. @param {{href: string, kind?: string, children: any}} props */
export function ButtonLink({ href, kind = "plain", children, ...rest }) {
  return html`<a ...${rest} class=${classes("button", `button-${kind}`)} href=${href}>${children}</a>`;
}

/** A small word with a colour that also differs in its text. @param {{tone?: "good"|"bad"|"warn"|"info"|"quiet", children: any}} props */
export function Badge({ tone = "quiet", children }) {
  return html`<span class=${`badge badge-${tone}`}>${children}</span>`;
}

const TONES = {
  active: "good", succeeded: "good", done: "good", up: "good", delivered: "good", completed: "good", analysed: "good",
  failed: "bad", revoked: "bad", down: "bad", purging: "bad", expired: "bad", error: "bad",
  suspended: "warn", refused: "warn", waiting: "warn", rotated: "warn", begun: "warn", not_configured: "warn", cancelled: "warn", pending: "info", running: "info", accepted: "info", queued: "info",
};

/** A status of the API as a badge. @param {{value: string|null|undefined}} props */
export function Status({ value }) {
  return html`<${Badge} tone=${TONES[value] ?? "quiet"}>${words(value)}<//>`;
}

/** A moment: how long ago, and the whole of it on hover. @param {{value: string|null|undefined}} props */
export function Time({ value }) {
  return value ? html`<time datetime=${value} title=${moment(value)}>${ago(value)}</time>` : html`<span>–</span>`;
}

/** One number with its name, and how it differs from before. @param {{label: string, value: any, change?: number|null, hint?: string, href?: string, good?: "up"|"down"}} props */
export function Stat({ label, value, change, hint, href, good }) {
  const risen = change != null && change > 0;
  const tone = change && good ? (risen === (good === "up") ? "good" : "bad") : "quiet";
  return html`<div class="stat"><dt>${href ? html`<a href=${href}>${label}</a>` : label}</dt>
    <dd class="stat-value">${value}</dd>
    ${change != null && html`<dd class=${`stat-change tone-${tone}`}>${risen ? "▲" : change < 0 ? "▼" : "="} ${percent(Math.abs(change))} since the week before</dd>`}
    ${hint && html`<dd class="muted">${hint}</dd>`}</div>`;
}

/** Numbers side by side. @param {{children: any}} props */
export function Stats({ children }) {
  return html`<dl class="stats">${children}</dl>`;
}

/** How much is left under a limit, and what binds. @param {{label: string, available: number, limit: number, by?: string}} props */
export function Meter({ label, available, limit, by }) {
  const share = limit ? Math.max(0, Math.min(1, available / limit)) : 0;
  return html`<div class="progress"><span>${label}: ${number(available)} of ${number(limit)} left ${by && html`<span class="muted">(bound by ${words(by).toLowerCase()})</span>`}</span>
    <progress aria-label=${`${label} left: ${percent(share)}`} max="1" value=${share}></progress></div>`;
}

/** Names and values below each other. @param {{items: [string, any][]}} props */
export function Facts({ items }) {
  return html`<dl class="facts">${items.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value ?? "–"}</dd></div>`)}</dl>`;
}

/** What stands where there is nothing yet. @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<p class="muted">${children}</p>`}</div>`;
}

/** What went wrong, what to do, and the request's id; `retry` adds a button. @param {{error: any, retry?: () => any}} props */
export function ErrorBox({ error, retry }) {
  if (!error) return null;
  const fields = Object.entries(error.fields ?? {});
  return html`<div class="error-box" role="alert">
    <p><strong>${error.message}</strong></p>
    ${fields.length > 0 && html`<ul>${fields.map(([name, told]) => html`<li key=${name}><code>${name}</code> ${told}</li>`)}</ul>`}
    ${error.hint && html`<p>${error.hint}</p>`}
    ${error.requestId && html`<p class="muted">Request <code>${error.requestId}</code></p>`}
    ${retry && html`<${Button} onClick=${retry}>Try again<//>`}
  </div>`;
}

/** Work that is going on; with `value` between 0 and 1 how far it is. @param {{label: string, value?: number|null}} props */
export function Progress({ label, value }) {
  return html`<div class="progress"><span role="status">${label}</span>
    <progress aria-label=${label} max="1" value=${value ?? undefined}></progress></div>`;
}

/**
 * What a page loads: {data, error, loading, reload}. It is asked again when one of `needs` changes; the older request is
 * cancelled, and the older data stays until the newer is there.
 * @template T @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} needs
 */
export function useLoaded(load, needs) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    // What it throws before it waits is its error, too.
    new Promise((answer) => answer(load(stop.signal))).then(
      (data) => stop.signal.aborted || setState({ data, error: null, loading: false }),
      (error) => stop.signal.aborted || setState((before) => ({ ...before, error, loading: false })),
    );
    return () => stop.abort();
  }, [...needs, round]);
  return { ...state, reload: () => setRound((count) => count + 1) };
}

/**
 * What a page loads, asked again while it goes on: every two seconds, and less often the longer it takes.
 * @template T @param {(signal: AbortSignal) => Promise<T>} load @param {(data: T) => boolean} goesOn @param {unknown[]} needs
 */
export function usePolled(load, goesOn, needs) {
  const found = useLoaded(load, needs);
  const asked = useRef(0);
  useEffect(() => {
    if (found.loading || found.error || !found.data || !goesOn(found.data)) return undefined;
    asked.current += 1;
    const timer = setTimeout(found.reload, Math.min(10_000, 2_000 + 100 * asked.current));
    return () => clearTimeout(timer);
  }, [found.data, found.loading]);
  return found;
}

/** Shows what `useLoaded` gave: progress, error or, by a function, the data. @param {{of: any, label?: string, children: (data: any) => any}} props */
export function Loaded({ of, label = "Loading…", children }) {
  if (of.error && of.data === null) return html`<${ErrorBox} error=${of.error} retry=${of.reload} />`;
  if (of.data === null) return html`<${Progress} label=${label} />`;
  return html`<div aria-busy=${of.loading ? "true" : undefined}>${of.error && html`<${ErrorBox} error=${of.error} retry=${of.reload} />`}${children(of.data)}</div>`;
}

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: any) => any} value What the cell shows.
 * @property {"right"} [align] Numbers stand at the right.
 * @property {boolean} [wide] Takes what is left of the width.
 */

const ROW = 45;
const WINDOWED = 200;

/**
 * A table. `href` makes the first cell a link. More than 200 rows are drawn where they are seen, so that 10,000 scroll.
 * @param {{caption: string, columns: Column[], rows: any[], rowKey: (row: any) => string, href?: (row: any) => string|null, empty?: any}} props
 */
export function Table({ caption, columns, rows, rowKey, href, empty }) {
  const body = useRef(null);
  const [from, to] = useWindow(body, rows.length);
  if (rows.length === 0) return empty ?? html`<${Empty} title="Nothing here" />`;
  const large = rows.length > WINDOWED;
  return html`<div class="table-wrap" role="region" aria-label=${caption} tabindex="0">
    <table class=${large ? "large" : undefined} aria-rowcount=${large ? rows.length + 1 : undefined}>
      <caption class="sr">${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" key=${column.label} class=${column.align}>${column.label}</th>`)}</tr></thead>
      <tbody ref=${body}>
        ${from > 0 && html`<tr key="before" aria-hidden="true"><td class="space" colspan=${columns.length} style=${{ height: `${from * ROW}px` }}></td></tr>`}
        ${rows.slice(from, to).map((row, index) => html`<tr key=${rowKey(row)} aria-rowindex=${large ? from + index + 2 : undefined}>
          ${columns.map((column, at) => cell(column, row, at === 0 && href ? href(row) : null))}</tr>`)}
        ${to < rows.length && html`<tr key="after" aria-hidden="true"><td class="space" colspan=${columns.length} style=${{ height: `${(rows.length - to) * ROW}px` }}></td></tr>`}
      </tbody>
    </table>
  </div>`;
}

function cell(column, row, target) {
  const shown = target ? html`<a href=${target}>${column.value(row)}</a>` : column.value(row);
  return html`<td key=${column.label} data-label=${column.label} class=${classes(column.align, column.wide && "wide")}>${shown}</td>`;
}

function useWindow(body, count) {
  const [first, setFirst] = useState(0);
  useEffect(() => {
    if (count <= WINDOWED) return undefined;
    const look = () => {
      const top = body.current ? -body.current.getBoundingClientRect().top : 0;
      setFirst(Math.max(0, Math.floor(top / ROW / 20) * 20 - 20));
    };
    look();
    addEventListener("scroll", look, { passive: true, capture: true });
    return () => removeEventListener("scroll", look, { capture: true });
  }, [count]);
  if (count <= WINDOWED) return [0, count];
  return [Math.min(first, count), Math.min(count, first + 80)];
}

/**
 * Below a list: the way to its next page, and back to its first; both are addresses.
 * @param {{next: string|null|undefined}} props
 */
export function Pager({ next }) {
  const { path, query } = place.value;
  if (!next && !query.cursor) return null;
  return html`<nav class="pager" aria-label="Pages of the list">
    ${query.cursor && html`<${ButtonLink} href=${link(path, { ...query, cursor: undefined })}>First page<//>`}
    ${next && html`<${ButtonLink} href=${link(path, { ...query, cursor: next })} rel="next">Next page<//>`}
  </nav>`;
}

/**
 * A list of the API, filtered and paged by the address: `load(query, signal)` gets the address' filter with the cursor.
 * @param {{load: (query: Record<string, string>, signal: AbortSignal) => Promise<{items: any[], next_cursor: string|null}>, needs?: unknown[], filters?: Filter[], list: any, reloadKey?: unknown}} props
 *   `list` is what `Table` takes but its rows.
 */
export function List({ load, needs = [], filters = [], ...table }) {
  const query = place.value.query;
  const found = useLoaded((stop) => load(query, stop), [JSON.stringify(query), ...needs]);
  return html`${filters.length > 0 && html`<${Filters} filters=${filters} />`}
    <${Loaded} of=${found}>${(page) => html`<${Table} rows=${page.items} ...${table} /><${Pager} next=${page.next_cursor} />`}<//>`;
}

/**
 * @typedef {object} Filter
 * @property {string} name The parameter in the address, and of the API.
 * @property {string} label
 * @property {"text"|"select"|"date"|"checkbox"} [kind]
 * @property {(string|[string, string])[]} [choices] Values, or values with their labels.
 * @property {string} [placeholder]
 * @property {string} [any] What the choice of none is called; "Any" unless it is said.
 */

/** A list's filter; what is chosen goes into the address. @param {{filters: Filter[]}} props */
export function Filters({ filters }) {
  const { query } = place.value;
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    ${filters.map((filter) => html`<${FilterField} key=${filter.name} filter=${filter} value=${query[filter.name] ?? ""} />`)}
  </form>`;
}

function FilterField({ filter, value }) {
  const id = useId();
  const choose = (chosen) => setQuery({ [filter.name]: chosen }, { replace: true });
  if (filter.kind === "checkbox") {
    return html`<label class="check"><input type="checkbox" checked=${value === "true"} onChange=${(event) => choose(event.target.checked ? "true" : "")} /> ${filter.label}</label>`;
  }
  if (filter.kind === "select") {
    return html`<label for=${id}><span>${filter.label}</span><select id=${id} value=${value} onChange=${(event) => choose(event.target.value)}>
      <option value="">${filter.any ?? "Any"}</option>
      ${choicesOf(filter, value).map(([is, label]) => html`<option key=${is} value=${is} selected=${is === value}>${label}</option>`)}</select></label>`;
  }
  return html`<label for=${id}><span>${filter.label}</span><${Typed} id=${id} type=${filter.kind === "date" ? "date" : "search"} value=${value}
    placeholder=${filter.placeholder} onSettled=${choose} /></label>`;
}

/** The choices with their labels; an address may have another one. */
function choicesOf(filter, value) {
  const choices = filter.choices.map((choice) => (Array.isArray(choice) ? choice : [choice, words(choice)]));
  return !value || choices.some(([is]) => is === value) ? choices : [...choices, [value, shorten(value, 40)]];
}

/** A field that tells what was typed when the typing pauses. @param {{value: string, onSettled: (value: string) => void}} props */
export function Typed({ value, onSettled, ...rest }) {
  const [text, setText] = useState(value);
  const told = useRef(value);
  useEffect(() => {
    if (value !== told.current) setText((told.current = value));
  }, [value]);
  useEffect(() => {
    if (text === told.current) return undefined;
    const timer = setTimeout(() => onSettled((told.current = text)), 300);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<input ...${rest} value=${text} onInput=${(event) => setText(event.target.value)} />`;
}

/**
 * A dialog over the page; Escape closes it, and the focus goes back to where it was.
 * @param {{title: string, onClose: () => void, children: any, wide?: boolean, sticky?: boolean}} props `sticky`: Escape does nothing.
 */
export function Dialog({ title, onClose, children, wide = false, sticky = false }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const [before, shown] = [document.activeElement, dialog.current];
    shown.showModal();
    return () => {
      shown.close(); // while it is open, nothing outside of it takes the focus
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    if (!sticky) onClose();
  };
  return html`<dialog ref=${dialog} class=${classes("dialog", wide && "dialog-wide")} aria-labelledby=${id} onCancel=${cancel}>
    <header><h2 id=${id}>${title}</h2>${!sticky && html`<button type="button" class="close" aria-label="Close" onClick=${onClose}>×</button>`}</header>
    ${children}
  </dialog>`;
}

/**
 * A question before something that matters; `typed` has to be typed first, where it cannot be undone.
 * @param {{title: string, action: string, onConfirm: () => Promise<any>, onClose: () => void, typed?: string, danger?: boolean, children?: any}} props
 */
export function Confirm({ title, action, onConfirm, onClose, typed, danger = true, children }) {
  const [text, setText] = useState("");
  const [error, setError] = useState(null);
  const id = useId();
  const confirm = async () => {
    try {
      await onConfirm();
      onClose();
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="dialog-body">${children}
      ${typed && html`<label for=${id}>Type <strong>${typed}</strong> to confirm</label>
        <input id=${id} autocomplete="off" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)} />`}
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind=${danger ? "danger" : "primary"} disabled=${Boolean(typed) && text !== typed} onClick=${confirm}>${action}<//></footer>
  <//>`;
}

/**
 * Tabs whose choice stands in the address as `tab`.
 * @param {{label: string, tabs: {id: string, label: string, show: () => any}[]}} props
 */
export function Tabs({ label, tabs }) {
  const chosen = tabs.find((tab) => tab.id === place.value.query.tab) ?? tabs[0];
  const id = useId();
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(chosen) + step + tabs.length) % tabs.length];
    setQuery({ tab: next.id }, { replace: true });
    document.getElementById(`${id}-${next.id}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
      ${tabs.map((tab) => html`<button key=${tab.id} id=${`${id}-${tab.id}`} type="button" role="tab" aria-selected=${tab === chosen ? "true" : "false"}
        aria-controls=${`${id}-panel`} tabindex=${tab === chosen ? 0 : -1} onClick=${() => setQuery({ tab: tab.id }, { replace: true })}>${tab.label}</button>`)}
    </div>
    <div id=${`${id}-panel`} role="tabpanel" aria-labelledby=${`${id}-${chosen.id}`} key=${chosen.id}>${chosen.show()}</div>`;
}

/** A sentence of the API's document: what stands in backticks is code. @param {{text: string}} props */
export function Prose({ text }) {
  return html`${text.split("`").map((part, at) => (at % 2 ? html`<code key=${at}>${part}</code>` : part))}`;
}

/** A field with its label, a hint and what is wrong with it; `children(id, describedBy)` draws the control. @param {{label: string, hint?: string, error?: string|null, children: (id: string, describedBy: string|undefined) => any}} props */
export function Field({ label, hint, error, children }) {
  const id = useId();
  const told = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`<div class=${classes("field", error && "field-wrong")}>
    <label for=${id}>${label}</label>
    ${children(id, told)}
    ${hint && html`<p class="hint" id=${`${id}-hint`}><${Prose} text=${hint} /></p>`}
    ${error && html`<p class="wrong" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

/** Hold the reader on the page while there is unsaved work. @param {boolean} unsaved */
export function useUnsaved(unsaved) {
  const holder = useId();
  useEffect(() => {
    holdUnsaved(holder, unsaved);
    return () => holdUnsaved(holder, false);
  }, [unsaved]);
}

/** Save by ⌘S or Ctrl-S. @param {() => any} save */
export function useSaveKey(save) {
  const latest = useRef(save);
  latest.current = save;
  useEffect(() => {
    const onKey = (event) => {
      if (!(event.metaKey || event.ctrlKey) || event.key.toLowerCase() !== "s") return;
      event.preventDefault();
      latest.current();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** A text to be copied, such as a new key. @param {{label: string, value: string}} props */
export function CopyText({ label, value }) {
  const id = useId();
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    toast(`${label} copied`);
  };
  return html`<div class="field"><label for=${id}>${label}</label><div class="copy"><input id=${id} readonly value=${value} onFocus=${(event) => event.target.select()} />
    <${Button} onClick=${copy}>Copy<//></div></div>`;
}

/** A secret that was just made, the one time that it can be seen. @param {{title: string, label: string, value: string, hint: string, onClose: () => void}} props */
export function ShownOnce({ title, label, value, hint, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose} sticky>
    <div class="dialog-body"><p class="note note-warn">${hint}</p><${CopyText} label=${label} value=${value} /></div>
    <footer><${Button} kind="primary" onClick=${onClose}>I have it<//></footer>
  <//>`;
}

const toasts = signal([]);

/** Say something that passes; assistive technology reads it out. @param {string} text @param {"good"|"bad"} [tone] */
export function toast(text, tone = "good") {
  const told = { text, tone, id: crypto.randomUUID() };
  toasts.value = [...toasts.value.slice(-3), told];
  setTimeout(() => {
    toasts.value = toasts.value.filter((one) => one !== told);
  }, tone === "bad" ? 10_000 : 5_000);
}

/** Say what went wrong with a click. @param {any} error */
export function toastError(error) {
  toast([error.message, error.hint].filter(Boolean).join(" "), "bad");
}

/** Where toasts appear; the shell has one. */
export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((one) => html`<p key=${one.id} class=${`toast toast-${one.tone}`}>${one.text}</p>`)}</div>`;
}
