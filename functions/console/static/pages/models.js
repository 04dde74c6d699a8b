/** The catalogue of models: which there are, what they cost and when they retire; the administrator changes it. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, request } from "../lib/api.js";
import { can } from "../lib/session.js";
import { Badge, Button, Confirm, Empty, List, Page, toast } from "../lib/ui.js";
import { compact, money } from "../lib/format.js";
import { plain } from "../lib/wording.js";
import { ModelEditor } from "./model_editor.js";

const FILTERS = [{ name: "prefix", label: "Name begins with", placeholder: "gpt-" }];
const SOURCES = { stored: ["info", "Stored"], setting: ["warn", "By setting"], packaged: ["quiet", "Packaged"] };

const COLUMNS = [
  { label: "Model", value: (model) => model.name },
  { label: "Traits", value: (model) => html`<${Traits} model=${model} />`, wide: true },
  { label: "Prompt", value: (model) => html`<span class="nowrap">${compact(model.max_input_tokens)}</span>`, align: "right" },
  { label: "Answer", value: (model) => html`<span class="nowrap">${compact(model.max_output_tokens)}</span>`, align: "right" },
  { label: "Price of 1M tokens", value: (model) => html`<${Price} price=${model.price} />`, align: "right" },
  { label: "Retires", value: (model) => html`<${Retires} model=${model} />` },
];

function Traits({ model }) {
  const [tone, label] = SOURCES[model.source];
  return html`<div>${!model.enabled && html`<${Badge} tone="bad">Out of use<//> `}<${Badge} tone=${tone}>${label}<//> ${model.kind === "embeddings" && html`<${Badge}>Embeddings<//> `}${model.reasoning && html`<${Badge}>Reasons<//> `}${model.takes_images && html`<${Badge}>Takes images<//> `}
    <div class="muted">${plain(model.provider)}${model.connection?.base_url && ` at ${model.connection.base_url}`}${model.fallbacks.length > 0 && `; else ${model.fallbacks.join(", ")}`}</div></div>`;
}

function Price({ price }) {
  if (!price) return html`<span class="muted">not known</span>`;
  return html`<span class="nowrap">${money(price.prompt, price.currency)} / ${money(price.completion, price.currency)}</span>`;
}

function Retires({ model }) {
  if (!model.retires_on) return "–";
  const tone = model.retires_in_days === 0 ? "bad" : "warn";
  return html`<span class="nowrap">${model.retires_on} ${(model.retires_soon || model.retires_in_days === 0) && html`<${Badge} tone=${tone}>${model.retires_in_days === 0 ? "gone" : `in ${model.retires_in_days} days`}<//>`}</span>`;
}

/** The list of models. */
export default function ModelsPage() {
  const [open, setOpen] = useState(null);
  const [round, setRound] = useState(0);
  const done = () => {
    setOpen(null);
    setRound(round + 1);
  };
  const change = { label: "Change", value: (model) => html`<span class="row"><${Button} kind="link" aria-label=${`Edit ${model.name}`} onClick=${() => setOpen({ edit: model })}>Edit<//>
    ${model.source === "stored" && html`<${Button} kind="link" aria-label=${`Remove ${model.name}`} onClick=${() => setOpen({ remove: model })}>Remove<//>`}</span>` };
  const take = async () => {
    await request("DELETE", path`/model-catalogue/${open.remove.name}`, { etag: open.remove.etag, tenant: null });
    toast(`${open.remove.name} is removed; it is gone everywhere within 15 seconds`);
  };
  return html`<${Page} title="Models" about=${can("admin") ? "All models of the platform; what is changed holds everywhere within 15 seconds." : "The models that this tenant may use."}
      actions=${can("admin") && html`<${Button} kind="primary" onClick=${() => setOpen({ edit: null })}>Add model<//>`}>
    <${List} caption="Models" filters=${FILTERS} columns=${can("admin") ? [...COLUMNS, change] : COLUMNS} needs=${[round]} rowKey=${(model) => model.name} load=${(query, signal) => get("/model-catalogue", query, { signal, tenant: null })}
      empty=${html`<${Empty} title="No such model">Change the filter.<//>`} />
    ${open && "edit" in open && html`<${ModelEditor} model=${open.edit} onSaved=${done} onClose=${() => setOpen(null)} />`}
    ${open?.remove && html`<${Confirm} title=${`Remove ${open.remove.name}?`} action="Remove" typed=${open.remove.name} onConfirm=${take} onClose=${done}>
      <p>What the setting or the package says of this name holds again; where they say nothing, bots with this model are refused.</p><//>`}
  <//>`;
}
