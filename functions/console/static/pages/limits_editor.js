/** The form of a tenant's own limits, with the day on which they end. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, request } from "../lib/api.js";
import { SchemaForm } from "../lib/form.js";
import { MergeDialog } from "../lib/merge.js";
import { Button, Dialog, ErrorBox, Field, Loaded, toast, useLoaded } from "../lib/ui.js";

const LABELS = { embeddings: "Embeddings, all of them together", models: "Rates of single models, as JSON" };
const FIELDS = ["tokens_per_minute", "requests_per_minute", "concurrency", "tokens_per_lock", "tokens_per_day", "tokens_per_month", "embeddings", "models"];

/** A moment as a field for a local time takes it. @param {string|null|undefined} iso @returns {string} */
export function toLocal(iso) {
  if (!iso) return "";
  const moment = new Date(iso);
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** A dialog that saves what the tenant has of its own, as a whole. @param {{where: string, first: any, onSaved: () => void, onClose: () => void}} props */
export function LimitsEditor({ where, first, onSaved, onClose }) {
  const forms = useLoaded((signal) => get("/api/openapi.json", {}, { signal, tenant: null }), []);
  const [own, setOwn] = useState(() => bare(first.override));
  const [etag, setEtag] = useState(first.etag);
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const save = async (over = etag) => {
    setError(null);
    try {
      await request("PUT", where, { body: own, etag: over });
      toast("The limits are in force");
      onClose();
      onSaved();
    } catch (refused) {
      if (refused.isConflict) setTheirs(await get(where));
      else setError(refused);
    }
  };
  const wrong = error?.fields ?? {};
  return html`<${Dialog} title="The tenant's own limits" onClose=${onClose} wide>
    <div class="dialog-body"><p class="muted">What is left empty is as its tier has it.</p>
      <${Field} label="End (optional)" hint="Then the tier's limits hold again." error=${wrong["body.expires_at"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} type="datetime-local" value=${toLocal(own.expires_at)}
        onInput=${(event) => setOwn({ ...own, expires_at: event.target.value ? new Date(event.target.value).toISOString() : null })} />`}<//>
      <${Loaded} of=${forms}>${(api) => html`<div class="stack"><${SchemaForm} schema=${api.components.schemas.PutLimitsRequest} root=${api} value=${own} onChange=${setOwn} only=${FIELDS} labels=${LABELS} errors=${wrong} /></div>`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${() => save()}>Save limits<//></footer>
  <//>
  ${theirs && html`<${MergeDialog} what="These limits" mine=${own} theirs=${bare(theirs.override)} onClose=${() => setTheirs(null)} onMine=${() => save(theirs.etag)}
    onTheirs=${() => (setOwn(bare(theirs.override)), setEtag(theirs.etag))} />`}`;
}

/** An override without what it does not say. */
function bare(override) {
  return Object.fromEntries(Object.entries(override ?? {}).filter(([, value]) => value !== null));
}
