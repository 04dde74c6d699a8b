/** Limits: how close each is now, what holds, and the limits of its own that the administrator gives a tenant for a time. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, request } from "../lib/api.js";
import { activeTenant, can } from "../lib/session.js";
import { Badge, Button, Card, Confirm, Facts, Filters, Loaded, Meter, Page, Table, Time, toast, useLoaded } from "../lib/ui.js";
import { daysBefore, duration, number, percent, words } from "../lib/format.js";
import { unlessChanged } from "./changed.js";
import { LimitsEditor } from "./limits_editor.js";

const POOL = "openai-embeddings"; // the application under which embeddings are counted, in a pool of their own
const NO_SHARE = "console";
const NAMES = ["tokens_per_minute", "requests_per_minute", "concurrency", "tokens_per_lock", "tokens_per_day", "tokens_per_month"];
const OF_POOL = ["tokens_per_minute", "requests_per_minute", "tokens_per_day", "tokens_per_month"];

/** The limits of a tenant. @param {{query: {app_id?: string}}} props */
export default function LimitsPage({ query }) {
  const tenantId = activeTenant.value;
  const found = useLoaded((signal) => loadLimits(tenantId, signal), [tenantId]);
  return html`<${Page} title="Limits" about="How close each is, and what holds. What is beyond a limit is refused, and told when to try again."
      actions=${html`<${Button} onClick=${found.reload}>Look again<//>`}>
    <${Loaded} of=${found}>${(data) => html`
      <${Now} key=${data.at} app=${query.app_id} apps=${data.apps} />
      <${Card} title="Budgets" about="Days and months of UTC. What is locked by work that goes on counts, too, and comes on top of what is shown."><${Table} caption="Budgets" columns=${BUDGETS} rows=${budgetsOf(data)} rowKey=${(row) => row.name}
        empty=${html`<p class="muted">This tenant has no budget by day or month.</p>`} /><//>
      <${InForce} key=${data.held.etag} tenantId=${tenantId} held=${data.held} reload=${found.reload} />`}<//>
  <//>`;
}

async function loadLimits(tenantId, signal) {
  const today = daysBefore(0);
  const [{ data: held }, used] = await Promise.all([
    request("GET", path`/tenants/${tenantId}/limits`, { signal }),
    get("/usage", { from: `${today.slice(0, 8)}01`, to: today, group_by: "day,app_id" }, { signal }),
  ]);
  const apps = [...new Set(used.items.map((row) => row.app_id).filter(Boolean))].sort();
  return { held, apps, today, rows: used.items, at: Date.now() };
}

/** What was used of each budget by day and month. @param {{held: any, rows: any[], today: string}} data */
export function budgetsOf({ held, rows, today }) {
  const sum = (wanted) => rows.filter(wanted).reduce((total, row) => total + row.total_tokens, 0);
  const ofPool = (row) => row.app_id === POOL;
  return [
    { name: "Tokens today", used: sum((row) => row.day === today && !ofPool(row)), most: held.limits.tokens_per_day },
    { name: "Tokens this month", used: sum((row) => !ofPool(row)), most: held.limits.tokens_per_month },
    { name: "Of embeddings today", used: sum((row) => row.day === today && ofPool(row)), most: held.limits.embeddings.tokens_per_day },
    { name: "Of embeddings this month", used: sum(ofPool), most: held.limits.embeddings.tokens_per_month },
  ].filter((row) => row.most != null);
}

const BUDGETS = [
  { label: "Budget", value: (row) => row.name },
  { label: "Used", value: (row) => number(row.used), align: "right" },
  { label: "At most", value: (row) => number(row.most), align: "right" },
  { label: "How close", value: (row) => html`<span class="row">${percent(row.used / row.most)}${row.used / row.most >= 0.8 && html` <${Badge} tone="warn">${row.used >= row.most ? "used up" : "close"}<//>`}</span>` },
];

/** The headroom of the minute, as an application has it. */
function Now({ app, apps }) {
  const choices = [...new Set([...apps, ...(app ? [app] : [])])].map((one) => [one, one]);
  const found = useLoaded((signal) => get("/tokens/status", { app_id: app || NO_SHARE }, { signal }), [app]);
  return html`<${Card} title="Now" about="What an application may take of any 60 seconds.">
    <${Filters} filters=${[{ name: "app_id", label: "Application", kind: "select", any: "One without a share of its own", choices }]} />
    <${Loaded} of=${found}>${(left) => html`<div class="stack">
      <${Meter} label="Tokens" available=${left.available_tokens} limit=${left.limit_tokens} by=${left.tokens_limited_by} />
      <${Meter} label="Requests" available=${left.available_requests} limit=${left.limit_requests} by=${left.requests_limited_by} />
      <${Facts} items=${[
        ["Used", `${number(left.used_tokens)} tokens, ${number(left.used_requests)} requests`],
        ["Locked by work that goes on", `${number(left.locked_tokens)} tokens, ${number(left.locked_requests)} requests`],
        ["All of it again in", duration(left.reset_time_seconds * 1000)],
        ...(left.debt_tokens ? [["Debt", `${number(left.debt_tokens)} tokens`]] : []),
      ]} /></div>`}<//><//>`;
}

/** What holds: the tier's limits, and the tenant's own where it has some. */
function InForce({ tenantId, held, reload }) {
  const [open, setOpen] = useState(null);
  const { override } = held;
  const where = path`/tenants/${tenantId}/limits`;
  const takeBack = async () => {
    if (!(await unlessChanged("The tenant's own limits", () => request("DELETE", where, { etag: held.etag }), reload))) return;
    toast("The tier's limits hold again");
    reload();
  };
  const actions = can("admin") && html`${override && html`<${Button} kind="danger" onClick=${() => setOpen("back")}>Take back…<//>`}
    <${Button} onClick=${() => setOpen("edit")}>${override ? "Change its own limits" : "Give it limits of its own"}<//>`;
  return html`<${Card} title="In force" actions=${actions}>
    <div class="row"><span>Tier <${Badge}>${words(held.tier)}<//></span>
      ${override && html`<span><${Badge} tone=${held.expired ? "quiet" : "info"}>${held.expired ? "Own limits have expired" : "Own limits"}<//> ${override.expires_at ? html`<span class="muted">${held.expired ? "ended" : "end"} <${Time} value=${override.expires_at} /></span>` : html`<span class="muted">without an end</span>`}</span>`}</div>
    <${Table} caption="Limits in force" columns=${LIMITS} rows=${rowsOf(held)} rowKey=${(row) => row.name} />
    ${open === "edit" && html`<${LimitsEditor} where=${where} first=${held} onSaved=${reload} onClose=${() => setOpen(null)} />`}
    ${open === "back" && html`<${Confirm} title="Take the tenant's own limits back?" action="Take back" onConfirm=${takeBack} onClose=${() => setOpen(null)}><p>The limits of its tier hold with the next request.</p><//>`}
  <//>`;
}

const LIMITS = [
  { label: "Limit", value: (row) => row.name, wide: true },
  { label: "In force", value: (row) => html`<strong>${row.now == null ? "none" : number(row.now)}</strong>`, align: "right" },
  { label: "By the tier", value: (row) => (row.tier == null ? "none" : number(row.tier)), align: "right" },
  { label: "Own", value: (row) => (row.own == null ? "–" : number(row.own)), align: "right" },
];

function rowsOf({ limits, tier_limits: tier, override }) {
  const row = (name, read) => ({ name, now: read(limits), tier: read(tier), own: override && read(override) });
  const models = [...new Set([limits, tier, override].flatMap((one) => Object.keys(one?.models ?? {})))].sort();
  return [
    ...NAMES.map((name) => row(words(name), (one) => one[name])),
    ...OF_POOL.map((name) => row(`Embeddings: ${words(name).toLowerCase()}`, (one) => one.embeddings?.[name])),
    ...models.flatMap((model) => [["tokens", "tokens per minute"], ["requests", "requests per minute"]].map(([kind, label]) => row(`${model}: ${label}`, (one) => one.models?.[model]?.[kind]))),
  ];
}
