/** Tenants: all of the platform's, for its administrator. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, post } from "../lib/api.js";
import { fill, link, navigate } from "../lib/router.js";
import { pickTenant } from "../lib/session.js";
import { Badge, Button, Dialog, Empty, ErrorBox, Field, List, Page, Status, Time, toast } from "../lib/ui.js";
import { words } from "../lib/format.js";

/** The tiers that a tenant can have. */
export const TIERS = ["free", "standard", "premium", "own"];

const FILTERS = [{ name: "prefix", label: "Id or name begins with" }];

const COLUMNS = [
  { label: "Name", value: (tenant) => tenant.name, wide: true },
  { label: "Id", value: (tenant) => html`<code>${tenant.tenant_id}</code>` },
  { label: "Tier", value: (tenant) => html`<${Badge}>${words(tenant.tier)}<//>` },
  { label: "Status", value: (tenant) => html`<${Status} value=${tenant.status} />` },
  { label: "Since", value: (tenant) => html`<${Time} value=${tenant.created_at} />` },
  { label: "Work for it", value: (tenant) => tenant.status === "active" && html`<${Button} kind="link" aria-label=${`Open ${tenant.name}`} onClick=${() => workFor(tenant.tenant_id)}>Open<//>` },
];

function workFor(tenantId) {
  pickTenant(tenantId);
  navigate("/overview");
}

/** The list of tenants. */
export default function TenantsPage() {
  const [creating, setCreating] = useState(false);
  return html`<${Page} title="Tenants" about="Each has its own data, keys, prompts, bots and budget."
    actions=${html`<${Button} kind="primary" onClick=${() => setCreating(true)}>New tenant<//>`}>
    <${List} caption="Tenants" filters=${FILTERS} columns=${COLUMNS} rowKey=${(tenant) => tenant.tenant_id}
      load=${(query, signal) => get("/tenants", query, { signal, tenant: null })}
      href=${(tenant) => link(fill("/tenants/:tenant_id", tenant))}
      empty=${html`<${Empty} title="No such tenant">Create the first one, or change the filter.<//>`} />
    ${creating && html`<${CreateDialog} onClose=${() => setCreating(false)} />`}
  <//>`;
}

function CreateDialog({ onClose }) {
  const [tenant, setTenant] = useState({ tenant_id: "", name: "", tier: "free" });
  const [error, setError] = useState(null);
  const [once] = useState(newOnce);
  const set = (changes) => setTenant({ ...tenant, ...changes });
  const create = async () => {
    try {
      const made = await post("/tenants", tenant, { tenant: null, once });
      toast(`${made.name} was created`);
      navigate(fill("/tenants/:tenant_id", made));
      onClose();
    } catch (refused) {
      setError(refused);
    }
  };
  const wrong = error?.fields ?? {};
  return html`<${Dialog} title="New tenant" onClose=${onClose}>
    <div class="dialog-body">
      <${Field} label="Name" error=${wrong["body.name"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${tenant.name}
        onInput=${(event) => set({ name: event.target.value, ...(tenant.tenant_id === suggestId(tenant.name) ? { tenant_id: suggestId(event.target.value) } : {}) })} />`}<//>
      <${Field} label="Id" hint="Letters, digits and dashes; it stays for ever." error=${wrong["body.tenant_id"]}>${(id, described) => html`<input id=${id} class="code" aria-describedby=${described} value=${tenant.tenant_id} spellcheck=${false}
        onInput=${(event) => set({ tenant_id: event.target.value })} />`}<//>
      <${Field} label="Tier" hint="It decides limits and how long logs are kept.">${(id, described) => html`<${TierSelect} id=${id} described=${described} value=${tenant.tier} onChange=${(tier) => set({ tier })} />`}<//>
      <${ErrorBox} error=${error} />
    </div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!tenant.name || !tenant.tenant_id} onClick=${create}>Create tenant<//></footer>
  <//>`;
}

/** The choice of a tier. @param {{id: string, described?: string, value: string, onChange: (tier: string) => void, disabled?: boolean}} props */
export function TierSelect({ id, described, value, onChange, disabled }) {
  return html`<select id=${id} aria-describedby=${described} disabled=${disabled} onChange=${(event) => onChange(event.target.value)}>
    ${TIERS.map((tier) => html`<option key=${tier} value=${tier} selected=${tier === value}>${words(tier)}</option>`)}</select>`;
}

function suggestId(name) {
  return name.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40);
}
