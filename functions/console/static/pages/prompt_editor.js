/** The editor of a prompt: template, variables found as one types, and what else a version holds. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, request } from "../lib/api.js";
import { SchemaField } from "../lib/form.js";
import { MergeDialog } from "../lib/merge.js";
import { fill, navigate, releaseUnsaved } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, Card, ErrorBox, Field, toast, useSaveKey, useUnsaved } from "../lib/ui.js";
import { words } from "../lib/format.js";
import { declaredOf, looksWrong, valueOf, variablesOf } from "../lib/template.js";

const EMPTY = { template: "", description: null, tags: [], config: {}, declared_variables: {}, examples: [] };
const ROLES = ["system", "user", "assistant"];

/** The editor. @param {{name?: string, prompt?: any, etag?: string, scope?: string, onSaved?: () => void}} props */
export function PromptEditor({ name: given, prompt, etag: first, scope, onSaved }) {
  const stored = prompt ? draftOf(prompt) : EMPTY;
  const [name, setName] = useState(given ?? "");
  const [draft, setDraft] = useState(stored);
  const [etag, setEtag] = useState(first);
  const [reason, setReason] = useState("");
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const target = (prompt?.source ?? scope) === "global" && can("admin") ? "global" : "tenant";
  const becomesOwn = prompt?.source === "global" && target === "tenant";
  const changed = JSON.stringify(draft) !== JSON.stringify(stored);
  useUnsaved(changed || (!given && name !== ""));
  const set = (changes) => setDraft({ ...draft, ...changes });

  const save = async (over = etag) => {
    setError(null);
    try {
      const body = { ...draft, declared_variables: declaredOf(draft), reason: reason || null };
      const { data } = await request("PUT", path`/prompts/${name}`, { body, query: { scope: target }, etag: becomesOwn ? null : over });
      releaseUnsaved();
      toast(data.warnings.length ? `Version ${data.version} is saved. ${data.warnings.join(" ")}` : `Version ${data.version} is saved`);
      if (given && !becomesOwn) onSaved();
      else navigate(fill("/prompts/:name", { name }), { scope: target === "global" ? "global" : "" });
      if (becomesOwn) onSaved();
    } catch (refused) {
      if (!refused.isConflict) return setError(refused);
      const { data, etag: newer } = await request("GET", path`/prompts/${name}`, { query: { scope: target, fresh: true } });
      setTheirs({ draft: draftOf(data), etag: newer });
    }
    return undefined;
  };
  const ready = can("tenant_admin") && (changed || !given) && name !== "" && draft.template.length > 0;
  useSaveKey(() => ready && save());

  const wrong = error?.fields ?? {};
  return html`<div class="columns">
    <div class="stack">
      ${becomesOwn && html`<p class="note">This prompt is the platform's. What you save is the tenant's own, and is used in its place.</p>`}
      ${target === "global" && html`<p class="note note-warn">This prompt is used by every tenant that has none of its own by this name.</p>`}
      <${Card} title="Template" actions=${html`<${KindSwitch} template=${draft.template} onChange=${(template) => set({ template })} />`}>
        ${!given && html`<${Field} label="Name" hint="Letters, digits, dots, dashes; it stays." error=${wrong["path.name"]}>${(id, described) => html`<input id=${id} class="code" aria-describedby=${described} value=${name} spellcheck=${false} onInput=${(event) => setName(event.target.value)} />`}<//>`}
        <${TemplateFields} template=${draft.template} onChange=${(template) => set({ template })} error=${wrong["body.template"]} />
        ${looksWrong(draft.template).map((told) => html`<p key=${told} class="wrong">${told}</p>`)}
      <//>
      <${Examples} examples=${draft.examples} onChange=${(examples) => set({ examples })} />
      <${ErrorBox} error=${error} />
    </div>
    <div class="stack">
      ${can("tenant_admin") && html`<${Card} title="Save" class="stays"><${Field} label="Why this version (optional)" error=${wrong["body.reason"]}>${(id) => html`<input id=${id} value=${reason} maxlength="500" onInput=${(event) => setReason(event.target.value)} />`}<//>
        <div class="actions"><${Button} kind="primary" disabled=${!ready} onClick=${() => save()}>${becomesOwn ? "Save as the tenant's own" : given ? "Save as a new version" : "Save prompt"}<//>
          ${changed && html`<${Button} onClick=${() => setDraft(stored)}>Discard<//><span class="muted">Not saved yet</span>`}</div><//>`}
      <${Variables} draft=${draft} onChange=${set} />
      <${Card} title="About">
        <${Field} label="What it is for" error=${wrong["body.description"]}>${(id) => html`<textarea id=${id} rows="3" maxlength="2000" value=${draft.description ?? ""} onInput=${(event) => set({ description: event.target.value || null })}></textarea>`}<//>
        <${SchemaField} label="Tags" schema=${{ type: "array", items: { type: "string" }, maxItems: 50 }} value=${draft.tags} onChange=${(tags) => set({ tags: tags ?? [] })} error=${wrong["body.tags"]} />
        <${SchemaField} label="Data for the caller (JSON)" hint="Whatever its caller reads, such as a temperature." schema=${{ type: "object" }} value=${draft.config} onChange=${(config) => config !== undefined && set({ config })} error=${wrong["body.config"]} />
      <//>
    </div>
    ${theirs && html`<${MergeDialog} what=${name} mine=${draft} theirs=${theirs.draft} onClose=${() => setTheirs(null)} onMine=${() => save(theirs.etag)}
      onTheirs=${() => (setDraft(theirs.draft), setEtag(theirs.etag))} />`}
  </div>`;
}

function draftOf({ template, description, tags, config, declared_variables: declared, examples }) {
  return { template, description, tags, config, declared_variables: declared, examples };
}

function KindSwitch({ template, onChange }) {
  const chat = typeof template !== "string";
  const toggle = () => onChange(chat ? template.map((part) => part.content ?? "").filter(Boolean).join("\n\n") : [{ role: "system", content: template }]);
  return html`<${Button} kind="link" onClick=${toggle}>${chat ? "Make it one text" : "Make it messages"}<//>`;
}

function TemplateFields({ template, onChange, error }) {
  if (typeof template === "string") {
    return html`<${Field} label="Text" hint="{name} is a variable; {{ is a brace." error=${error}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} class="code" rows="14" value=${template} onInput=${(event) => onChange(event.target.value)}></textarea>`}<//>`;
  }
  const put = (at, part) => onChange(template.map((one, index) => (index === at ? part : one)));
  const drop = (at) => onChange(template.filter((_, index) => index !== at));
  return html`<div class="stack">${template.map((part, at) => html`<fieldset key=${at}><legend>${part.placeholder === undefined ? `Message ${at + 1}` : `Place ${at + 1}`}</legend>
      ${part.placeholder === undefined
        ? html`<${Field} label="Role">${(id) => html`<select id=${id} onChange=${(event) => put(at, { ...part, role: event.target.value })}>${ROLES.map((role) => html`<option key=${role} value=${role} selected=${role === part.role}>${words(role)}</option>`)}</select>`}<//>
          <${Field} label="Content">${(id) => html`<textarea id=${id} class="code" rows="5" value=${part.content} onInput=${(event) => put(at, { ...part, content: event.target.value })}></textarea>`}<//>`
        : html`<${Field} label="Name of the list of messages" hint="“examples” is the prompt's own examples.">${(id, described) => html`<input id=${id} aria-describedby=${described} value=${part.placeholder} onInput=${(event) => put(at, { placeholder: event.target.value })} />`}<//>`}
      <div class="actions"><${Button} kind="link" aria-label=${`Remove part ${at + 1}`} onClick=${() => drop(at)}>Remove<//></div></fieldset>`)}
    ${error && html`<p class="wrong">${error}</p>`}
    <div class="actions"><${Button} onClick=${() => onChange([...template, { role: "user", content: "" }])}>Add a message<//><${Button} onClick=${() => onChange([...template, { placeholder: "history" }])}>Add a place for messages<//></div>
  </div>`;
}

function Variables({ draft, onChange }) {
  const names = variablesOf(draft.template);
  const declared = draft.declared_variables;
  const put = (name, changes) => {
    const known = Object.fromEntries(names.map((one) => [one, valueOf(declared, one) ?? { description: null, default: null }]));
    onChange({ declared_variables: { ...known, [name]: { ...known[name], ...changes } } });
  };
  return html`<${Card} title="Variables">
    <p class="muted" role="status">${names.length ? `${names.length} in the template` : "None in the template yet: write {name}."}</p>
    ${names.map((name) => html`<details key=${name}><summary><code>${name}</code> ${valueOf(declared, name)?.default != null && html`<${Badge} tone="info">has a default<//>`}</summary><div class="stack">
      <${Field} label=${`What ${name} is`}>${(id) => html`<input id=${id} value=${valueOf(declared, name)?.description ?? ""} onInput=${(event) => put(name, { description: event.target.value || null })} />`}<//>
      <${Field} label=${`Default of ${name}`} hint="Empty: the caller has to give one.">${(id, described) => html`<input id=${id} aria-describedby=${described} value=${valueOf(declared, name)?.default ?? ""} onInput=${(event) => put(name, { default: event.target.value || null })} />`}<//></div></details>`)}
  <//>`;
}

function Examples({ examples, onChange }) {
  const put = (at, changes) => onChange(examples.map((one, index) => (index === at ? { ...one, ...changes } : one)));
  return html`<${Card} title="Examples" about="They go where the template has the place “examples”." actions=${html`<${Button} onClick=${() => onChange([...examples, { input: "", output: "" }])}>Add an example<//>`}>
    ${examples.map((one, at) => html`<fieldset key=${at}><legend>Example ${at + 1}</legend>
      <${Field} label="A user says">${(id) => html`<textarea id=${id} rows="2" value=${one.input} onInput=${(event) => put(at, { input: event.target.value })}></textarea>`}<//>
      <${Field} label="The model answers">${(id) => html`<textarea id=${id} rows="2" value=${one.output} onInput=${(event) => put(at, { output: event.target.value })}></textarea>`}<//>
      <div class="actions"><${Button} kind="link" aria-label=${`Remove example ${at + 1}`} onClick=${() => onChange(examples.filter((_, index) => index !== at))}>Remove<//></div></fieldset>`)}
  <//>`;
}
