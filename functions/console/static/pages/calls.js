/** Model calls: each with its model, its time and its cost, the last that ended first. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { Badge, Empty, List, Page, Status, Time } from "../lib/ui.js";
import { duration, money, number, shiftDay, words } from "../lib/format.js";

const FILTERS = [
  { name: "from", label: "First day", kind: "date" },
  { name: "to", label: "Last day", kind: "date" },
  { name: "status", label: "Outcome", kind: "select", choices: ["succeeded", "refused", "failed", "cancelled"] },
  { name: "model", label: "Model" },
  { name: "bot_id", label: "Bot" },
  { name: "conversation_id", label: "Conversation" },
];

const COLUMNS = [
  { label: "Model", value: (call) => html`<span class="nowrap">${call.model}</span>` },
  { label: "When", value: (call) => html`<${Time} value=${call.time} />` },
  { label: "For", value: (call) => html`<${Purpose} call=${call} />` },
  { label: "Outcome", value: (call) => html`<span class="row"><${Status} value=${call.status} />${call.attempts > 1 && html`<${Badge} tone="warn">${call.attempts} attempts<//>`}</span>` },
  { label: "Tokens", value: (call) => (call.prompt_tokens == null ? "–" : `${number(call.prompt_tokens)} + ${number(call.completion_tokens)}`), align: "right" },
  { label: "Cost", value: (call) => money(call.cost, call.currency), align: "right" },
  { label: "Took", value: (call) => duration(call.duration_ms), align: "right" },
];

function Purpose({ call }) {
  if (call.bot_id) return html`<a href=${link(fill("/bots/:bot_id", call))}>${call.bot_id}</a>${call.user_id && html` <span class="muted">for ${call.user_id}</span>`}`;
  const target = call.job_id && (call.app_id === "feedback" ? fill("/feedback/:feedback_id", { feedback_id: call.job_id }) : fill("/jobs/:job_id", call));
  if (target) return html`<a href=${link(target)}>${call.job_id}</a>${call.step && html` <span class="muted">${words(call.step)}</span>`}`;
  return call.app_id ?? call.user_id ?? "–";
}

/** The API's times of whole days in UTC: from the first one's beginning to the last one's end. @param {{from?: string, to?: string}} query */
export function timesOf({ from, to }) {
  return { from: from && `${from}T00:00:00Z`, to: to && `${shiftDay(to, 1)}T00:00:00Z` };
}

/** The list of model calls. */
export default function CallsPage() {
  return html`<${Page} title="Model calls" about="What models were asked, since yesterday unless days are chosen. A call is found about a minute after its end.">
    <${List} caption="Model calls" filters=${FILTERS} columns=${COLUMNS} rowKey=${(call) => `${call.time}/${call.request_id}/${call.step}/${call.duration_ms}`}
      load=${(query, signal) => get("/calls", { ...query, ...timesOf(query) }, { signal })}
      href=${(call) => call.request_id && link(fill("/calls/:request_id", call))}
      empty=${html`<${Empty} title="No calls in this time">Choose an earlier first day, or change the filter. What was asked a moment ago comes soon.<//>`} />
  <//>`;
}
