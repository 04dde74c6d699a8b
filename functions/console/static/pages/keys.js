/** A tenant's keys: made (and shown once), rotated with an overlap, revoked. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, post, remove } from "../lib/api.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, ErrorBox, Field, List, ShownOnce, Status, Time, toast } from "../lib/ui.js";
import { plain } from "../lib/wording.js";

const ROLES = ["user", "tenant_admin"];
const OVERLAPS = [["0", "None: the old key ends now"], ["3600", "An hour"], ["86400", "A day"], ["604800", "A week"]];

/** The list of keys. @param {{tenantId: string}} props */
export function Keys({ tenantId }) {
  const [open, setOpen] = useState(null);
  const [round, setRound] = useState(0);
  const done = () => {
    setOpen(null);
    setRound(round + 1);
  };
  const where = path`/tenants/${tenantId}/keys`;
  const ask = { tenant: null };
  const columns = [
    { label: "Name", value: (key) => key.name, wide: true },
    { label: "Id", value: (key) => html`<code>${key.key_id}</code>` },
    { label: "Role", value: (key) => html`<${Badge} tone=${key.role === "tenant_admin" ? "info" : "quiet"}>${plain(key.role)}<//>` },
    { label: "User", value: (key) => key.user_id ?? "–" },
    { label: "Status", value: (key) => html`<${Status} value=${key.status} />` },
    { label: "Ends", value: (key) => html`<${Time} value=${key.expires_at} />` },
    { label: "Change", value: (key) => key.status === "active" && html`<span class="row"><${Button} kind="link" aria-label=${`Rotate ${key.name}`} onClick=${() => setOpen({ rotate: key })}>Rotate<//>
      <${Button} kind="link" aria-label=${`Revoke ${key.name}`} onClick=${() => setOpen({ revoke: key })}>Revoke<//></span>` },
  ];
  return html`<${Card} title="Keys" about="A key is shown once, when it is made; only its digest is stored." actions=${html`<${Button} kind="primary" onClick=${() => setOpen({ create: true })}>New key<//>`}>
      <${List} caption="List of keys" columns=${columns} needs=${[tenantId, round]} rowKey=${(key) => key.key_id} load=${({ tab, ...query }, signal) => get(where, query, { ...ask, signal })}
        empty=${html`<${Empty} title="No keys yet">Without one nobody can work for this tenant but you.<//>`} />
    <//>
    ${open?.create && html`<${CreateKey} where=${where} onClose=${done} />`}
    ${open?.rotate && html`<${RotateKey} where=${where} old=${open.rotate} onClose=${done} />`}
    ${open?.revoke && html`<${Confirm} title=${`Revoke ${open.revoke.name}?`} action="Revoke" onClose=${done}
      onConfirm=${async () => (await remove(`${where}${path`/${open.revoke.key_id}`}`, ask), toast("The key is revoked"))}>
      <p>Whoever uses <code>${open.revoke.key_id}</code> is refused within 30 seconds. To replace it without a gap, rotate it instead.</p><//>`}`;
}

function CreateKey({ where, onClose }) {
  const [key, setKey] = useState({ name: "", role: "user", user_id: "", expires_at: "" });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const set = (changes) => setKey({ ...key, ...changes });
  const create = async () => {
    const body = { name: key.name, role: key.role, user_id: key.user_id || null, expires_at: key.expires_at ? new Date(key.expires_at).toISOString() : null };
    try {
      setMade(await post(where, body, { tenant: null }));
    } catch (refused) {
      setError(refused);
    }
  };
  if (made) return html`<${ShownOnce} title="Copy the key now" label="Key" value=${made.key} hint="It is not shown again. Who loses it makes another one." onClose=${onClose} />`;
  const wrong = error?.fields ?? {};
  return html`<${Dialog} title="New key" onClose=${onClose}>
    <div class="dialog-body">
      <${Field} label="Name" hint="Who or what uses it." error=${wrong["body.name"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${key.name} onInput=${(event) => set({ name: event.target.value })} />`}<//>
      <${Field} label="Role" hint="A user works with bots and jobs; an administrator also changes prompts, bots, settings and keys.">${(id, described) => html`<select id=${id} aria-describedby=${described} onChange=${(event) => set({ role: event.target.value })}>
        ${ROLES.map((role) => html`<option key=${role} value=${role} selected=${role === key.role}>${plain(role)}</option>`)}</select>`}<//>
      <${Field} label="User (optional)" hint="Then it sees this user's conversations alone." error=${wrong["body.user_id"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${key.user_id} onInput=${(event) => set({ user_id: event.target.value })} />`}<//>
      <${Field} label="Ends (optional)" error=${wrong["body.expires_at"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} type="datetime-local" value=${key.expires_at} onInput=${(event) => set({ expires_at: event.target.value })} />`}<//>
      <${ErrorBox} error=${error} />
    </div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!key.name} onClick=${create}>Create key<//></footer>
  <//>`;
}

function RotateKey({ where, old, onClose }) {
  const [overlap, setOverlap] = useState("86400");
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const rotate = async () => {
    try {
      setMade(await post(`${where}${path`/${old.key_id}`}/rotate`, { overlap_seconds: Number(overlap) }, { tenant: null }));
    } catch (refused) {
      setError(refused);
    }
  };
  if (made) return html`<${ShownOnce} title="Copy the key now" label="Key" value=${made.key} hint="It is not shown again. Who loses it makes another one." onClose=${onClose} />`;
  return html`<${Dialog} title=${`Rotate ${old.name}`} onClose=${onClose}>
    <div class="dialog-body"><p>A new key takes its place; until then both are in force.</p>
      <${Field} label="Both are in force for">${(id) => html`<select id=${id} onChange=${(event) => setOverlap(event.target.value)}>${OVERLAPS.map(([seconds, label]) => html`<option key=${seconds} value=${seconds} selected=${seconds === overlap}>${label}</option>`)}</select>`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${rotate}>Rotate key<//></footer>
  <//>`;
}
