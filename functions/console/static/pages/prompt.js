/** One prompt: its editor, versions, labels, a test of it, and who uses it. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, post, put, remove, request } from "../lib/api.js";
import { DiffLines } from "../lib/merge.js";
import { fill, link, navigate, place, setQuery } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, ErrorBox, Facts, Field, List, Loaded, Page, Tabs, Time, toast, useLoaded } from "../lib/ui.js";
import { words } from "../lib/format.js";
import { asText, readUnified } from "../lib/template.js";
import { unlessChanged } from "./changed.js";
import { PromptEditor } from "./prompt_editor.js";
import { Labels } from "./prompts.js";

/** A prompt, or a new one where the address has no name. @param {{params: {name?: string}, query: {scope?: string}}} props */
export default function PromptPage({ params, query }) {
  const back = { href: link("/prompts"), label: "Prompts" };
  if (!params.name) return html`<${Page} title="New prompt" back=${back}><${PromptEditor} scope=${query.scope} /><//>`;
  return html`<${StoredPrompt} name=${params.name} scope=${query.scope} back=${back} />`;
}

function StoredPrompt({ name, scope, back }) {
  const found = useLoaded((signal) => request("GET", path`/prompts/${name}`, { query: { scope, fresh: true }, signal }), [name, scope]);
  const [deleting, setDeleting] = useState(false);
  const own = { name, scope };
  const take = async () => {
    const { source } = found.data.data;
    if (!(await unlessChanged("The prompt", () => remove(path`/prompts/${name}`, { query: { scope: source }, etag: found.data.etag }), found.reload))) return;
    toast(`${name} was deleted`);
    navigate("/prompts");
  };
  const mayDelete = found.data && can(found.data.data.source === "global" ? "admin" : "tenant_admin");
  return html`<${Page} title=${name} back=${back} actions=${mayDelete && html`<${Button} kind="danger" onClick=${() => setDeleting(true)}>Delete…<//>`}>
    <${Loaded} of=${found}>${({ data: prompt, etag }) => html`
      <div class="row"><${Badge}>${prompt.source === "global" ? "Global" : "The tenant's"}<//><${Badge} tone="info">Version ${prompt.version}<//><${Labels} labels=${prompt.labels} />
        ${prompt.tags.map((tag) => html`<${Badge} key=${tag}>${tag}<//>`)}</div>
      <${Tabs} label="Parts of the prompt" tabs=${[
        { id: "edit", label: "Template", show: () => html`<${PromptEditor} key=${etag} name=${name} prompt=${prompt} etag=${etag} onSaved=${found.reload} />` },
        { id: "try", label: "Try it", show: () => html`<${TryIt} ...${own} prompt=${prompt} />` },
        { id: "versions", label: "Versions", show: () => html`<${Versions} ...${own} labels=${prompt.labels} />` },
        { id: "labels", label: "Labels", show: () => html`<${LabelList} ...${own} latest=${prompt.version} onMoved=${found.reload} />` },
        { id: "uses", label: "Used by", show: () => html`<${UsedBy} name=${name} />` },
        { id: "history", label: "History", show: () => html`<${History} ...${own} />` },
      ]} />`}<//>
    ${deleting && html`<${Confirm} title=${`Delete ${name}?`} action="Delete" typed=${name} onClose=${() => setDeleting(false)}
      onConfirm=${take}>
      <p>Bots and apps that use it are refused. Nothing is lost: the list of deleted ones has a button that restores it, with its versions and labels.</p><//>`}
  <//>`;
}

function TryIt({ name, scope, prompt }) {
  const [variables, setVariables] = useState(() => Object.fromEntries(prompt.variables.map((one) => [one, prompt.declared_variables[one]?.default ?? ""])));
  const [version, setVersion] = useState("");
  const [rendered, setRendered] = useState(null);
  const [error, setError] = useState(null);
  const run = async () => {
    setError(null);
    try {
      const messages = Object.fromEntries(prompt.placeholders.filter((one) => one !== "examples").map((one) => [one, []]));
      setRendered(await post(path`/prompts/${name}/render`, { variables, ...(Object.keys(messages).length ? { messages } : {}) }, { query: { scope, version, fresh: true } }));
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<div class="side-by-side">
    <${Card} title="Values">
      ${prompt.variables.length === 0 && html`<p class="muted">The template has no variables.</p>`}
      ${prompt.variables.map((one) => html`<${Field} key=${one} label=${one} hint=${prompt.declared_variables[one]?.description} error=${error?.detail?.missing?.includes(one) && "is missing"}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="2"
        value=${variables[one]} onInput=${(event) => setVariables({ ...variables, [one]: event.target.value })}></textarea>`}<//>`)}
      <${Field} label="Version" hint="Empty for production, else the latest.">${(id, described) => html`<input id=${id} aria-describedby=${described} type="number" min="1" max=${prompt.version} value=${version} onInput=${(event) => setVersion(event.target.value)} />`}<//>
      <${ErrorBox} error=${error} />
      <div class="actions"><${Button} kind="primary" onClick=${run}>Render<//></div>
    <//>
    <${Card} title="What the model gets">
      ${rendered === null ? html`<${Empty} title="Nothing rendered yet">Fill the values in, then render.<//>` : html`<p class="muted">Version ${rendered.version}</p>
        ${rendered.messages ? rendered.messages.map((message, at) => html`<div key=${at}><h3>${words(message.role)}</h3><pre>${message.content}</pre></div>`) : html`<pre>${rendered.text}</pre>`}`}
    <//>
  </div>`;
}

function Versions({ name, scope }) {
  const { from, to, version } = place.value.query;
  const columns = [
    { label: "Version", value: (one) => String(one.version) },
    { label: "Labels", value: (one) => html`<${Labels} labels=${one.labels} />` },
    { label: "Why", value: (one) => one.reason ?? "–", wide: true },
    { label: "By", value: (one) => html`<code>${one.created_by}</code>` },
    { label: "When", value: (one) => html`<${Time} value=${one.created_at} />` },
    { label: "Compare", value: (one) => one.version > 1 && html`<${Button} kind="link" aria-label=${`Compare version ${one.version} with the one before`} onClick=${() => setQuery({ to: one.version, from: one.version - 1, version: "" })}>With the one before<//>` },
  ];
  return html`
    ${to && html`<${Comparison} name=${name} scope=${scope} from=${from} to=${to} />`}
    ${version && html`<${OneVersion} name=${name} scope=${scope} version=${version} />`}
    <${List} caption="Versions" columns=${columns} needs=${[name]} rowKey=${(one) => one.version}
      load=${({ cursor, limit }, signal) => get(path`/prompts/${name}/versions`, { scope, cursor, limit }, { signal })}
      href=${(one) => link(place.value.path, { ...place.value.query, version: one.version, to: "", from: "" })} />`;
}

function Comparison({ name, scope, from, to }) {
  const found = useLoaded((signal) => get(path`/prompts/${name}/diff`, { scope, from, to }, { signal }), [name, from, to]);
  const choose = (changes) => setQuery(changes, { replace: true });
  return html`<${Card} title="Comparison" actions=${html`<${Button} onClick=${() => setQuery({ from: "", to: "" })}>Close<//>`}>
    <div class="row"><${Field} label="From">${(id) => html`<input id=${id} value=${from} onChange=${(event) => choose({ from: event.target.value })} />`}<//>
      <${Field} label="To">${(id) => html`<input id=${id} value=${to} onChange=${(event) => choose({ to: event.target.value })} />`}<//></div>
    <${Loaded} of=${found}>${(diff) => (diff.diff ? html`<${DiffLines} label=${`From version ${diff.from_version} to ${diff.to_version}`} lines=${readUnified(diff.diff)} />` : html`<p class="muted">They are the same.</p>`)}<//>
  <//>`;
}

function OneVersion({ name, scope, version }) {
  const found = useLoaded((signal) => get(path`/prompts/${name}/versions/${version}`, { scope }, { signal }), [name, version]);
  return html`<${Card} title=${`Version ${version}`} actions=${html`<${Button} onClick=${() => setQuery({ version: "" })}>Close<//>`}>
    <${Loaded} of=${found}>${(prompt) => html`<pre tabindex="0">${asText(prompt.template)}</pre><${Facts} items=${[["Why", prompt.reason], ["Tags", prompt.tags.join(", ") || null]]} />`}<//>
  <//>`;
}

function LabelList({ name, scope, latest, onMoved }) {
  const found = useLoaded((signal) => request("GET", path`/prompts/${name}/labels`, { query: { scope }, signal }), [name]);
  const [moving, setMoving] = useState(null);
  const [removing, setRemoving] = useState(null);
  const done = () => {
    setMoving(null);
    setRemoving(null);
    found.reload();
    onMoved();
  };
  const admin = can("tenant_admin");
  return html`<${Loaded} of=${found}>${({ data, etag }) => html`<${Card} title="Labels" about="Who asks for a label gets the version that it points at; production is what is used where nobody names one."
      actions=${admin && html`<${Button} kind="primary" onClick=${() => setMoving({ label: "production", version: latest })}>Set a label<//>`}>
      <${Facts} items=${Object.entries(data.labels).map(([label, version]) => [label, html`<span class="row">Version ${version}
        ${admin && label !== "latest" && html`<${Button} kind="link" aria-label=${`Move ${label}`} onClick=${() => setMoving({ label, version })}>Move<//><${Button} kind="link" aria-label=${`Remove ${label}`} onClick=${() => setRemoving(label)}>Remove<//>`}</span>`])} />
    <//>
    ${moving && html`<${MoveLabel} name=${name} scope=${scope} etag=${etag} first=${moving} latest=${latest} onClose=${done} />`}
    ${removing && html`<${Confirm} title=${`Remove the label ${removing}?`} action="Remove" onClose=${done} onConfirm=${() => remove(path`/prompts/${name}/labels/${removing}`, { query: { scope }, etag })}>
      <p>Who asks for it is refused from then on.</p><//>`}`}<//>`;
}

function MoveLabel({ name, scope, etag, first, latest, onClose }) {
  const [label, setLabel] = useState(first.label);
  const [version, setVersion] = useState(String(first.version));
  const [reason, setReason] = useState("");
  const [error, setError] = useState(null);
  const move = async () => {
    try {
      await put(path`/prompts/${name}/labels/${label}`, { version: Number(version), reason: reason || null }, { query: { scope }, etag });
      toast(`${label} points at version ${version}`);
      onClose();
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<${Dialog} title="Set a label" onClose=${onClose}><div class="dialog-body">
      <${Field} label="Label">${(id) => html`<input id=${id} value=${label} spellcheck=${false} onInput=${(event) => setLabel(event.target.value)} />`}<//>
      <${Field} label="Version" error=${error?.fields?.["body.version"]}>${(id) => html`<input id=${id} type="number" min="1" max=${latest} value=${version} onInput=${(event) => setVersion(event.target.value)} />`}<//>
      <${Field} label="Why (optional)">${(id) => html`<input id=${id} value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!label || !version} onClick=${move}>Set label<//></footer><//>`;
}

function UsedBy({ name }) {
  const load = async (signal) => {
    const users = [];
    let cursor;
    do {
      const page = await get("/bots", { limit: 100, cursor }, { signal });
      users.push(...page.items.filter((bot) => bot.config.prompt?.name === name));
      cursor = page.next_cursor;
    } while (cursor && users.length < 1_000);
    return users;
  };
  const found = useLoaded(load, [name]);
  return html`<${Loaded} of=${found} label="Looking through the bots…">${(bots) => bots.length === 0
    ? html`<${Empty} title="No bot uses it">Jobs and apps name prompts as they ask; they are not known here.<//>`
    : html`<${Card} title="Bots"><${Facts} items=${bots.map((bot) => [bot.bot_id, html`<a href=${link(fill("/bots/:bot_id", bot))}>${words(bot.source)}</a> ${bot.config.prompt.version ? `version ${bot.config.prompt.version}` : bot.config.prompt.label ?? "production, else the latest"}`])} /><//>`}<//>`;
}

function History({ name, scope }) {
  const columns = [
    { label: "Change", value: (one) => words(one.action) },
    { label: "Version", value: (one) => one.version ?? "–", align: "right" },
    { label: "Label", value: (one) => one.label ?? "–" },
    { label: "Why", value: (one) => one.reason ?? "–", wide: true },
    { label: "By", value: (one) => html`<code>${one.by}</code>` },
    { label: "When", value: (one) => html`<${Time} value=${one.at} />` },
  ];
  return html`<${List} caption="History" columns=${columns} needs=${[name]} rowKey=${(one) => one.number}
    load=${({ cursor, limit }, signal) => get(path`/prompts/${name}/history`, { scope, cursor, limit }, { signal })} />`;
}
