/** The form of a catalogue entry, made of the contract's schema. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, request } from "../lib/api.js";
import { SchemaForm } from "../lib/form.js";
import { MergeDialog } from "../lib/merge.js";
import { Button, Dialog, ErrorBox, Field, Loaded, toast, useLoaded } from "../lib/ui.js";

const SAME = ["provider", "enabled", "fallbacks", "kind", "reasoning", "tokenizer", "answer_format", "max_input_tokens", "max_output_tokens", "default_output_tokens", "dimensions", "retires_on"];
const LABELS = { model: "Facts of the packaged model", kind: "Answers with", base_url: "Address", api_version: "API version", enabled: "May be used", key_setting: "Setting with its key", price: "Price of a million tokens", images: "Tokens of an image", dimensions: "Length of its vectors" };

/** What is sent to leave an entry as it is shown. @param {any} model @returns {any} */
export function entryOf(model) {
  const entry = Object.fromEntries([...SAME.map((name) => [name, model[name]]), ...Object.entries(model.connection ?? {})]);
  if (model.price) {
    const { currency, ...price } = model.price;
    entry.price = Object.fromEntries(Object.entries(price).map(([kind, amount]) => [kind, Number(amount)]));
  }
  if (model.images) entry.images = withoutNulls(model.images);
  return withoutNulls(entry);
}

function withoutNulls(entry) {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== null));
}

/** A dialog that stores a model. @param {{model: any, onSaved: () => void, onClose: () => void}} props `model`: null for a new one. */
export function ModelEditor({ model, onSaved, onClose }) {
  const forms = useLoaded((signal) => get("/api/openapi.json", {}, { signal, tenant: null }), []);
  const [name, setName] = useState(model?.name ?? "");
  const [entry, setEntry] = useState(() => (model ? entryOf(model) : { enabled: true, provider: "azure" }));
  const [etag, setEtag] = useState(model?.etag);
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const save = async (over = etag) => {
    setError(null);
    try {
      await request("PUT", path`/model-catalogue/${name}`, { body: entry, etag: over ?? '"unset"', tenant: null });
      toast(`${name} is stored; it holds everywhere within 15 seconds`);
      onSaved();
    } catch (refused) {
      if (!refused.isConflict) return setError(refused);
      const found = await get("/model-catalogue", { prefix: name, limit: 100 }, { tenant: null });
      const stored = found.items.find((one) => one.name === name);
      if (stored) setTheirs(stored);
      else setError(refused);
    }
    return undefined;
  };
  const wrong = error?.fields ?? {};
  return html`<${Dialog} title=${model ? `Edit ${model.name}` : "Add a model"} onClose=${onClose} wide>
    <div class="dialog-body">
      ${model && model.source !== "stored" && html`<p class="note">What you save is stored, and holds in place of what the ${model.source === "setting" ? "setting" : "package"} says of this name.</p>`}
      ${!model && html`<${Field} label="Name" hint="Bots, jobs and calls use it." error=${wrong["path.name"]}>${(id, described) => html`<input id=${id} class="code" aria-describedby=${described} value=${name} spellcheck=${false} onInput=${(event) => setName(event.target.value)} />`}<//>`}
      <${Loaded} of=${forms}>${(api) => html`<div class="stack"><${SchemaForm} schema=${api.components.schemas.PutModelRequest} root=${api} value=${entry} onChange=${setEntry} labels=${LABELS} errors=${wrong} /></div>`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!name} onClick=${() => save()}>Save model<//></footer>
  <//>
  ${theirs && html`<${MergeDialog} what=${name} mine=${entry} theirs=${entryOf(theirs)} onClose=${() => setTheirs(null)} onMine=${() => save(theirs.etag)}
    onTheirs=${() => (setEntry(entryOf(theirs)), setEtag(theirs.etag))} />`}`;
}
