/** The tenant's log: searched with a filter in the address, or followed as lines arrive. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { fill, link, place } from "../lib/router.js";
import { Badge, Empty, Filters, List, Page, Tabs } from "../lib/ui.js";
import { duration, moment, shorten, words } from "../lib/format.js";
import { timesOf } from "./calls.js";
import { FollowedLog } from "./log_tail.js";

const FILTERS = [
  { name: "text", label: "Text" },
  { name: "level", label: "Least level", kind: "select", choices: ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"].map((level) => [level, words(level.toLowerCase())]) },
  { name: "event", label: "Event", placeholder: "model_call" },
  { name: "request_id", label: "Request id" },
  { name: "conversation_id", label: "Conversation" },
];
const DAYS = [
  { name: "from", label: "First day", kind: "date" },
  { name: "to", label: "Last day", kind: "date" },
];
const TONES = { DEBUG: "quiet", INFO: "info", WARNING: "warn", ERROR: "bad", CRITICAL: "bad" };

/** The columns of a table of log lines. */
export const LOG_COLUMNS = [
  { label: "When", value: (line) => html`<time class="nowrap" datetime=${line.time}>${moment(line.time)}</time>` },
  { label: "Level", value: (line) => html`<${Badge} tone=${TONES[line.level]}>${words(line.level.toLowerCase())}<//>` },
  { label: "What", value: (line) => html`<${Said} line=${line} />`, wide: true },
  { label: "Event", value: (line) => line.event ?? "–" },
  { label: "Request", value: (line) => (line.request_id ? html`<${RequestLinks} id=${line.request_id} />` : "–") },
];

function Said({ line }) {
  const more = { logger: line.logger, ...line.fields, ...(line.trace_id ? { trace_id: line.trace_id, span_id: line.span_id } : {}) };
  const { route, status, duration_ms: took } = line.fields;
  const facts = [route, status, took != null && duration(took)].filter(Boolean).join(", ");
  return html`<div>${line.message}${line.error && html` <code>${line.error}</code>`}${facts && html` <span class="muted">${facts}</span>`}
    <details><summary>Fields</summary><pre>${JSON.stringify(more, null, 2)}</pre></details></div>`;
}

function RequestLinks({ id }) {
  const short = shorten(id.split(":").pop(), 12); // of a job's, what follows the tenant
  return html`<span class="row"><a href=${link("/logs", { request_id: id, tab: place.value.query.tab })} aria-label=${`Follow request ${short}`}><code>${short}</code></a>
    <a href=${link(fill("/calls/:request_id", { request_id: id }))} aria-label=${`Way of request ${short}`}>Way</a></span>`;
}

/** The log. */
export default function LogsPage() {
  return html`<${Page} title="Logs" about="What the app wrote while it worked for the tenant: facts alone, no prompt and no answer.">
    <${Tabs} label="Ways to read the log" tabs=${[
      { id: "search", label: "Search", show: () => html`<${SearchedLog} />` },
      { id: "follow", label: "Follow", show: () => html`<${Filters} filters=${FILTERS} /><${FollowedLog} query=${place.value.query} columns=${LOG_COLUMNS} />` },
    ]} /><//>`;
}

function SearchedLog() {
  const load = async ({ tab, ...query }, signal) => {
    const page = await get("/logs", { ...query, ...timesOf(query) }, { signal });
    return { ...page, items: page.items.map((line, at) => ({ ...line, at })) };
  };
  return html`<p class="muted">The newest lines come first, since yesterday unless days are chosen (31 at most). A line is found a minute or two after it was written.</p>
    <${List} caption="Log lines" filters=${[...FILTERS, ...DAYS]} columns=${LOG_COLUMNS} rowKey=${(line) => String(line.at)} load=${load}
      empty=${html`<${Empty} title="No such line here">Go on to the next page, if there is one: a page reads a part of the log. Else choose an earlier first day, or change the filter.<//>`} />`;
}
