/** Settings: forms made of the API's schema; each value says where it comes from, and can be reset. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, put, request } from "../lib/api.js";
import { SchemaField } from "../lib/form.js";
import { MergeDialog } from "../lib/merge.js";
import { place, setQuery } from "../lib/router.js";
import { activeTenant, can } from "../lib/session.js";
import { Badge, Button, Card, ErrorBox, Field, Loaded, Page, Time, toast, useLoaded, useUnsaved } from "../lib/ui.js";
import { words } from "../lib/format.js";
import { unlessChanged } from "./changed.js";

const SOURCES = { tenant: ["info", "The tenant's own"], global: ["warn", "The platform's"], default: ["quiet", "Default"] };

/** All settings of the tenant; the administrator can choose the platform's. */
export default function SettingsPage() {
  const scope = can("admin") && place.value.query.scope === "global" ? "global" : "tenant";
  const find = place.value.query.find ?? "";
  const load = async (signal) => {
    const [forms, values] = await Promise.all([get("/settings/schema", {}, { signal }), get("/settings", { scope, limit: 100 }, { signal })]);
    const known = new Map(values.items.map((one) => [one.key, one]));
    return forms.items.filter((form) => known.has(form.key)).map((form) => ({ form, setting: known.get(form.key) }));
  };
  const found = useLoaded(load, [activeTenant.value, scope]);
  const wanted = ({ form }) => `${form.key} ${form.label} ${form.description}`.toLowerCase().includes(find.toLowerCase());
  return html`<${Page} title="Settings" about=${scope === "global" ? "What holds for every tenant that has no value of its own." : `What holds for ${activeTenant.value}.`}
    actions=${can("admin") && html`<${Field} label="Whose">${(id) => html`<select id=${id} onChange=${(event) => setQuery({ scope: event.target.value === "global" ? "global" : "" }, { replace: true })}>
      <option value="tenant" selected=${scope === "tenant"}>The tenant's</option><option value="global" selected=${scope === "global"}>The platform's</option></select>`}<//>`}>
    <${Field} label="Find a setting">${(id) => html`<input id=${id} type="search" value=${find} onInput=${(event) => setQuery({ find: event.target.value }, { replace: true })} />`}<//>
    <${Loaded} of=${found}>${(all) => groups(all.filter(wanted)).map(([group, items]) => html`<${Card} key=${group} title=${words(group)}>
      ${items.map(({ form, setting }) => html`<${Setting} key=${`${scope}/${form.key}/${setting.etag}`} form=${form} first=${setting} scope=${scope} />`)}<//>`)}<//>
  <//>`;
}

function groups(items) {
  const found = new Map();
  for (const item of items) {
    const group = item.form.key.split(".")[0];
    found.set(group, [...(found.get(group) ?? []), item]);
  }
  return [...found];
}

function Setting({ form, first, scope }) {
  const [setting, setSetting] = useState(first);
  const [value, setValue] = useState(first.value);
  const [round, setRound] = useState(0);
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const changed = value !== undefined && JSON.stringify(value) !== JSON.stringify(setting.value);
  useUnsaved(changed);
  const [tone, label] = SOURCES[setting.source];
  const mayChange = can(form.min_role) && (form.scope === "tenant" || scope === "global");
  const where = path`/settings/${form.key}`;
  const show = (newer) => {
    setSetting(newer);
    setValue(newer.value);
    setRound(round + 1); // what was typed gives way
    setError(null);
  };
  const save = async (etag) => {
    try {
      show(await put(where, { value }, { query: { scope }, etag }));
      toast(`${form.label} is saved`);
    } catch (refused) {
      if (refused.isConflict) setTheirs(await get(where, { scope }));
      else setError(refused);
    }
  };
  const reset = async () => {
    const send = async () => show((await request("DELETE", where, { query: { scope }, etag: setting.etag })).data);
    const look = async () => show(await get(where, { scope }));
    if (await unlessChanged("The setting", send, look)) toast(`${form.label} is inherited again`);
  };
  const ownSource = scope === "global" ? "global" : "tenant";
  const schema = form.choices ? { ...form.json_schema, enum: form.choices } : form.json_schema;
  return html`<div class="setting">
    <${SchemaField} key=${round} label=${form.label} hint=${form.description} schema=${schema} value=${value} onChange=${setValue} disabled=${!mayChange} error=${error?.fields?.["body.value"]} />
    <div class="row"><${Badge} tone=${tone}>${label}<//><code class="muted">${form.key}</code>
      ${setting.updated_at && html`<span class="muted">changed <${Time} value=${setting.updated_at} /> by ${setting.updated_by}</span>`}<span class="grow"></span>
      ${mayChange && setting.source === ownSource && !changed && html`<${Button} kind="link" aria-label=${`Reset to inherited: ${form.label}`} onClick=${reset}>Reset to inherited<//>`}
      ${changed && html`<${Button} onClick=${() => show(setting)}>Discard<//><${Button} kind="primary" aria-label=${`Save ${form.label}`} onClick=${() => save(setting.etag)}>Save<//>`}</div>
    <${ErrorBox} error=${error} />
    ${theirs && html`<${MergeDialog} what=${form.label} mine=${value} theirs=${theirs.value} onClose=${() => setTheirs(null)} onMine=${() => save(theirs.etag)} onTheirs=${() => show(theirs)} />`}
  </div>`;
}
