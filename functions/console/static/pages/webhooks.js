/** Webhooks: where the ends of jobs are told; added and rotated with a secret that is shown once. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, post, remove } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { Badge, Button, Confirm, Dialog, Empty, ErrorBox, Field, List, Page, ShownOnce, Time, toast } from "../lib/ui.js";
import { words } from "../lib/format.js";

const EVENTS = ["job.succeeded", "job.failed", "job.cancelled"];
const OVERLAPS = [["86400", "A day"], ["3600", "An hour"], ["604800", "A week"], ["0", "None: the old one has leaked"]];
const COLUMNS = [
  { label: "URL", value: (hook) => hook.url },
  { label: "Told of", value: (hook) => html`<span class="row">${hook.events.map((event) => html`<${Badge} key=${event}>${words(event.replace("job.", ""))}<//>`)}</span>` },
  { label: "Added", value: (hook) => html`<${Time} value=${hook.created_at} />` },
  { label: "Rotated", value: (hook) => (hook.old_secret_until ? html`<div><${Time} value=${hook.rotated_at} /> <span class="muted">both secrets sign until <${Time} value=${hook.old_secret_until} /></span></div>` : html`<${Time} value=${hook.rotated_at} />`) },
];

/** The list of webhooks. */
export default function WebhooksPage() {
  const [open, setOpen] = useState(null);
  const [round, setRound] = useState(0);
  const done = () => {
    setOpen(null);
    setRound(round + 1);
  };
  const columns = [...COLUMNS, { label: "Change", value: (hook) => html`<span class="row"><${Button} kind="link" aria-label=${`Rotate the secret of ${hook.url}`} onClick=${() => setOpen({ rotate: hook })}>Rotate<//>
    <${Button} kind="link" aria-label=${`Delete ${hook.url}`} onClick=${() => setOpen({ remove: hook })}>Delete<//></span>` }];
  return html`<${Page} title="Webhooks" about="URLs that jobs may name as their callback: each is told of their end, signed with its secret."
      actions=${html`<${Button} kind="primary" onClick=${() => setOpen({ create: true })}>New webhook<//>`}>
    <${List} caption="Webhooks" columns=${columns} needs=${[round]} rowKey=${(hook) => hook.webhook_id} load=${(query, signal) => get("/webhooks", query, { signal })}
      href=${(hook) => link(fill("/webhooks/:webhook_id", hook))}
      empty=${html`<${Empty} title="No webhooks">Add one to be told when a job has ended, instead of asking.<//>`} />
    ${open?.create && html`<${CreateWebhook} onClose=${done} />`}
    ${open?.rotate && html`<${RotateSecret} hook=${open.rotate} onClose=${done} />`}
    ${open?.remove && html`<${Confirm} title="Delete this webhook?" action="Delete" onClose=${done}
      onConfirm=${async () => (await remove(path`/webhooks/${open.remove.webhook_id}`), toast("The webhook is deleted"))}>
      <p>Nothing more is delivered to <code>${open.remove.url}</code>, and jobs may not name it any more.</p><//>`}
  <//>`;
}

function CreateWebhook({ onClose }) {
  const [hook, setHook] = useState({ url: "", events: EVENTS });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const create = async () => {
    setError(null);
    try {
      setMade(await post("/webhooks", hook));
    } catch (refused) {
      setError(refused);
    }
  };
  if (made) return html`<${SecretShown} made=${made} onClose=${onClose} />`;
  const toggle = (event, on) => setHook({ ...hook, events: EVENTS.filter((one) => (one === event ? on : hook.events.includes(one))) });
  return html`<${Dialog} title="New webhook" onClose=${onClose}><div class="dialog-body">
      <${Field} label="URL" hint="https, to a public address; jobs name it character by character." error=${error?.fields["body.url"]}>${(id, described) => html`<input id=${id} type="url" class="code" aria-describedby=${described} value=${hook.url} onInput=${(event) => setHook({ ...hook, url: event.target.value })} />`}<//>
      <fieldset><legend>It is told of</legend>${EVENTS.map((event) => html`<label key=${event} class="check"><input type="checkbox" checked=${hook.events.includes(event)} onChange=${(change) => toggle(event, change.target.checked)} /> ${words(event)}</label>`)}</fieldset>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!hook.url || !hook.events.length} onClick=${create}>Add webhook<//></footer><//>`;
}

function RotateSecret({ hook, onClose }) {
  const [overlap, setOverlap] = useState("86400");
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const rotate = async () => {
    setError(null);
    try {
      setMade(await post(path`/webhooks/${hook.webhook_id}/rotate`, { overlap_seconds: Number(overlap) }));
    } catch (refused) {
      setError(refused);
    }
  };
  if (made) return html`<${SecretShown} made=${made} onClose=${onClose} />`;
  return html`<${Dialog} title="Rotate the secret" onClose=${onClose}><div class="dialog-body">
      <p>A new secret takes its place; until then deliveries are signed with both.</p>
      <${Field} label="Both sign for">${(id) => html`<select id=${id} onChange=${(event) => setOverlap(event.target.value)}>${OVERLAPS.map(([seconds, label]) => html`<option key=${seconds} value=${seconds} selected=${seconds === overlap}>${label}</option>`)}</select>`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${rotate}>Rotate secret<//></footer><//>`;
}

function SecretShown({ made, onClose }) {
  return html`<${ShownOnce} title="Copy the secret now" label="Secret" value=${made.secret} hint="It is not shown again. Who loses it rotates it." onClose=${onClose} />`;
}
