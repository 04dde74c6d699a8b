/** One request's way: its steps over time, and what took it. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path } from "../lib/api.js";
import { link } from "../lib/router.js";
import { Badge, Button, Card, CopyText, Empty, Loaded, Page, Stat, Stats, Status, Table, useLoaded } from "../lib/ui.js";
import { duration, moment, number, words } from "../lib/format.js";

/** A request. @param {{params: {request_id: string}}} props */
export default function CallPage({ params }) {
  const found = useLoaded((signal) => get(path`/calls/${params.request_id}`, {}, { signal }), [params.request_id]);
  return html`<${Page} title="The way of a request" about="Its steps as its log lines tell them, the first one at the left." back=${{ href: link("/calls"), label: "Model calls" }}
      actions=${html`<a href=${link("/logs", { request_id: params.request_id })}>Its log lines</a>`}>
    <${CopyText} label="Request id" value=${params.request_id} />
    <${Loaded} of=${found}>${(request) => html`
      <${Stats}>
        <${Stat} label="Took" value=${duration(request.duration_ms)} hint=${moment(request.started_at)} />
        <${Stat} label="Models" value=${duration(request.model_ms)} hint=${`${number(request.calls)} ${request.calls === 1 ? "call" : "calls"}`} />
        <${Stat} label="Token ledger" value=${duration(request.ledger_ms)} />
        <${Stat} label="Steps" value=${number(request.steps.length)} />
      <//>
      <${Card} title="Waterfall"><${Waterfall} request=${request} /><//>
      <${Content} key=${params.request_id} requestId=${params.request_id} />
      <${Table} caption="Steps" columns=${COLUMNS} rows=${request.steps.map((step, at) => ({ ...step, at }))} rowKey=${(step) => String(step.at)} />`}<//>
  <//>`;
}

const COLUMNS = [
  { label: "Step", value: (step) => html`${step.name}`, wide: true },
  { label: "Kind", value: (step) => html`<span class="nowrap">${words(step.event)}</span>` },
  { label: "After", value: (step) => duration(step.offset_ms), align: "right" },
  { label: "Took", value: (step) => duration(step.duration_ms), align: "right" },
  { label: "Of it the model", value: (step) => duration(step.model_ms), align: "right" },
  { label: "Of it the ledger", value: (step) => duration(step.ledger_ms), align: "right" },
  { label: "Outcome", value: (step) => html`<${Outcome} step=${step} />` },
];

function Outcome({ step }) {
  if (step.error) return html`<span class="row"><${Status} value=${step.status ?? "failed"} /> <code>${step.error}</code></span>`;
  if (step.status) return html`<${Status} value=${step.status} />`;
  return step.level === "INFO" ? "–" : html`<${Badge} tone=${step.level === "WARNING" ? "warn" : "bad"}>${words(step.level.toLowerCase())}<//>`;
}

/** What the request's models were sent and answered, read when somebody asks for it: each reading is in the audit trail. */
function Content({ requestId }) {
  const [asked, setAsked] = useState(false);
  return html`<${Card} title="What was said" about="Kept where the setting logs.keep_content was on. Each reading is in the tenant's audit trail.">
    ${asked ? html`<${Said} requestId=${requestId} />` : html`<div class="actions"><${Button} onClick=${() => setAsked(true)}>Read it<//></div>`}<//>`;
}

function Said({ requestId }) {
  const found = useLoaded((signal) => readContent(requestId, signal), [requestId]);
  return html`<${Loaded} of=${found}>${({ items, next_cursor: more }) => html`<div class="stack">
    ${items.length === 0 && html`<${Empty} title="Nothing was kept">Switch “logs.keep_content” on under <a href=${link("/settings")}>Settings</a>; it holds for calls from then on.<//>`}
    ${items.map((call, at) => html`<details key=${at} open=${items.length === 1}><summary><strong>${call.model}</strong> <span class="muted">${words(call.step ?? call.bot_id ?? call.status)}, ${moment(call.time)}</span></summary>
      <div class="talk" role="group" aria-label=${`Call ${at + 1}`}>
        ${call.messages_left_out > 0 && html`<p class="muted">${number(call.messages_left_out)} earlier messages are left out.</p>`}
        ${[...call.messages, ...call.answers].map((message, index) => html`<${Message} key=${index} message=${message} />`)}
      </div></details>`)}
    ${more && html`<p class="muted">Only the first 20 calls are shown.</p>`}</div>`}<//>`;
}

async function readContent(requestId, signal) {
  try {
    return await get(path`/calls/${requestId}/content`, { limit: 20 }, { signal });
  } catch (refused) {
    if (refused.code !== "ContentNotKeptError") throw refused;
    return { items: [], next_cursor: null };
  }
}

function Message({ message }) {
  const { role, content, ...rest } = message;
  const further = Object.values(rest).some((value) => value != null);
  return html`<div class=${role === "user" ? "said said-mine" : "said"}><strong>${words(role)}</strong>
    <p class="text">${typeof content === "string" ? content : content == null ? "" : JSON.stringify(content, null, 2)}</p>
    ${further && html`<pre class="plain">${JSON.stringify(rest, null, 2)}</pre>`}</div>`;
}

/** A step's place in the whole, in percent; the smallest can still be seen. @param {{offset_ms: number, duration_ms: number|null}} step @param {number} whole Milliseconds. */
export function spanOf(step, whole) {
  if (!(whole > 0)) return { left: 0, width: 100 };
  const left = Math.min(99.5, (100 * step.offset_ms) / whole);
  return { left, width: Math.min(100 - left, Math.max(0.5, (100 * (step.duration_ms ?? 0)) / whole)) };
}

/** Steps below each other, each where it stands in time; the table below has the same numbers. */
function Waterfall({ request }) {
  return html`<ol class="waterfall">${request.steps.map((step, at) => {
    const { left, width } = spanOf(step, request.duration_ms);
    const kind = step.error ? "failed" : { model_call: "model", request: "request" }[step.event] ?? "other";
    return html`<li key=${at}><span class="waterfall-name">${step.name}</span>
      <span class="waterfall-lane" aria-hidden="true"><i class=${`waterfall-${kind}`} style=${{ left: `${left}%`, width: `${width}%` }}></i></span>
      <span class="right">${step.duration_ms == null ? html`<span class="muted">at ${duration(step.offset_ms)}</span>` : duration(step.duration_ms)}</span></li>`;
  })}</ol>`;
}
