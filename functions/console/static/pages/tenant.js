/** One tenant: what it is, its keys, and its end. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { patch, path, remove, request } from "../lib/api.js";
import { link } from "../lib/router.js";
import { activeTenant, can, pickTenant } from "../lib/session.js";
import { Badge, Button, Card, Confirm, Facts, Field, Loaded, Page, Progress, Status, Tabs, Time, toast, useLoaded } from "../lib/ui.js";
import { number, words } from "../lib/format.js";
import { unlessChanged } from "./changed.js";
import { Keys } from "./keys.js";
import { TierSelect } from "./tenants.js";

const POLL_MS = 2_000;

/** A tenant for the administrator, or for its own administrators. @param {{params: {tenant_id?: string}}} props */
export default function TenantPage({ params }) {
  const id = params.tenant_id ?? activeTenant.value;
  const own = { tenant: null };
  const found = useLoaded((signal) => request("GET", path`/tenants/${id}`, { ...own, signal }), [id]);
  const back = can("admin") ? { href: link("/tenants"), label: "Tenants" } : undefined;
  if (found.error && !found.data) return html`<${Page} title=${id} back=${back}><${Loaded} of=${found} /><//>`;
  return html`<${Loaded} of=${found}>${({ data: tenant, etag }) => html`
    <${Page} title=${tenant.name} about=${html`<code>${tenant.tenant_id}</code> <${Status} value=${tenant.status} />`} back=${back}
      actions=${can("admin") && tenant.status === "active" && activeTenant.value !== id && html`<${Button} onClick=${() => (pickTenant(id), toast(`You work for ${tenant.name} now`))}>Work for it<//>`}>
      ${tenant.purge ? html`<${Purge} tenant=${tenant} reload=${found.reload} />` : html`<${Tabs} label="Parts of the tenant" tabs=${[
        { id: "keys", label: "Keys", show: () => html`<${Keys} tenantId=${id} />` },
        { id: "about", label: "Tenant", show: () => html`<${About} tenant=${tenant} etag=${etag} reload=${found.reload} />` },
      ]} />`}
    <//>`}<//>`;
}

function About({ tenant, etag, reload }) {
  const [question, setQuestion] = useState(null);
  const [name, setName] = useState(tenant.name);
  const [tier, setTier] = useState(tenant.tier);
  const admin = can("admin");
  const where = path`/tenants/${tenant.tenant_id}`;
  const change = async (changes, said) => {
    if (!(await unlessChanged("The tenant", () => patch(where, changes, { tenant: null, etag }), reload))) return;
    toast(said);
    reload();
  };
  const purge = async () => {
    if (await unlessChanged("The tenant", () => remove(where, { tenant: null, etag }), reload)) reload();
  };
  const suspended = tenant.status === "suspended";
  return html`<div class="stack">
    <${Card} title="Tenant">
      <${Field} label="Name">${(id, described) => html`<input id=${id} aria-describedby=${described} disabled=${!admin} value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>
      <${Field} label="Tier" hint="It decides limits and how long logs are kept.">${(id, described) => html`<${TierSelect} id=${id} described=${described} value=${tier} onChange=${setTier} disabled=${!admin} />`}<//>
      <${Facts} items=${[["Id", html`<code>${tenant.tenant_id}</code>`], ["Since", html`<${Time} value=${tenant.created_at} />`]]} />
      ${admin && html`<div class="actions"><${Button} kind="primary" disabled=${name === tenant.name && tier === tenant.tier} onClick=${() => change({ name, tier }, "Saved")}>Save<//></div>`}
    <//>
    ${admin && html`<${Card} title=${suspended ? "Suspended" : "Suspend"} about="While a tenant is suspended, its keys are refused and its work stands still. Nothing is removed.">
      <div class="actions">${suspended
        ? html`<${Button} kind="primary" onClick=${() => change({ status: "active" }, "The tenant is active again")}>Make active<//>`
        : html`<${Button} onClick=${() => setQuestion("suspend")}>Suspend…<//>`}</div>
    <//>
    <${Card} title="Purge" about="Removes all that the tenant has, for ever, and shows the proof. The id is never free again.">
      <div class="actions"><${Button} kind="danger" onClick=${() => setQuestion("purge")}>Purge…<//></div>
    <//>`}
    ${question === "suspend" && html`<${Confirm} title=${`Suspend ${tenant.name}?`} action="Suspend" onClose=${() => setQuestion(null)} onConfirm=${() => change({ status: "suspended" }, "The tenant is suspended")}>
      <p>All of its keys are refused within 30 seconds, until it is made active again.</p><//>`}
    ${question === "purge" && html`<${Confirm} title=${`Purge ${tenant.name}?`} action="Purge for ever" typed=${tenant.tenant_id} onClose=${() => setQuestion(null)}
      onConfirm=${purge}>
      <p>Conversations, prompts, bots, jobs, logs, keys: all of it is removed. This cannot be undone. Export first what has to be kept.</p><//>`}
  </div>`;
}

/** How far the removal is, and the proof at its end. */
function Purge({ tenant, reload }) {
  const { purge } = tenant;
  const finished = purge.finished_at !== null;
  useEffect(() => {
    if (finished) return undefined;
    const timer = setInterval(reload, POLL_MS);
    return () => clearInterval(timer);
  }, [finished]);
  const names = [...new Set([...Object.keys(purge.removed), ...Object.keys(purge.counts ?? {})])].sort();
  return html`<${Card} title=${finished ? "Purged" : "Being purged"} about=${finished ? "Everything was removed. The counts below were made after it." : "This goes on by itself; you may leave the page."}>
    ${!finished && html`<${Progress} label="Removing…" />`}
    <${Facts} items=${[["Asked for", html`<${Time} value=${purge.requested_at} />`], ["Closed", html`<${Time} value=${purge.closed_at} />`], ["Counted", html`<${Time} value=${purge.counted_at} />`], ["Finished", html`<${Time} value=${purge.finished_at} />`]]} />
    ${names.length > 0 && html`<div class="table-wrap" role="region" aria-label="Proof of the purge" tabindex="0"><table><caption class="sr">Proof of the purge</caption>
      <thead><tr><th scope="col">What</th><th scope="col" class="right">Removed</th><th scope="col" class="right">Left</th></tr></thead>
      <tbody>${names.map((name) => html`<tr key=${name}><td data-label="What">${words(name)}</td><td data-label="Removed" class="right">${number(purge.removed[name] ?? 0)}</td>
        <td data-label="Left" class="right">${purge.counts ? html`<${Badge} tone=${purge.counts[name] ? "bad" : "good"}>${number(purge.counts[name] ?? 0)}<//>` : "–"}</td></tr>`)}</tbody></table></div>`}
  <//>`;
}
