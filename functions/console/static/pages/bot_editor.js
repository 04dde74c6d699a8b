/** The editor of a bot: a form made of the contract's schema. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { path, request } from "../lib/api.js";
import { SchemaForm } from "../lib/form.js";
import { MergeDialog } from "../lib/merge.js";
import { fill, navigate, releaseUnsaved } from "../lib/router.js";
import { checkObject } from "../lib/schema.js";
import { can } from "../lib/session.js";
import { plain } from "../lib/wording.js";
import { Button, Card, ErrorBox, Field, toast, useSaveKey, useUnsaved } from "../lib/ui.js";

const NEW = { system_prompt: "" };
const REST = ["memory", "limits", "response_format", "conversation_storage", "retention_days", "tags"];
const LABELS = {
  system_prompt: "Instructions", "prompt.name": "Prompt", "llm.provider": "May be answered by",
  response_format: "Form of answers", conversation_storage: "Conversations", retention_days: "Days for which turns are kept",
};

/** The editor. @param {{id?: string, bot?: any, etag?: string, known: any, onSaved?: () => void}} props */
export function BotEditor({ id: given, bot, etag: first, known, onSaved }) {
  const stored = bot?.config ?? NEW;
  const [id, setId] = useState(given ?? "");
  const [config, setConfig] = useState(stored);
  const [etag, setEtag] = useState(first);
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const target = bot?.source === "global" && can("admin") ? "global" : "tenant";
  const becomesOwn = bot?.source === "global" && target === "tenant";
  const changed = JSON.stringify(config) !== JSON.stringify(stored);
  useUnsaved(changed || (!given && id !== ""));
  const wrong = checkBot(config, known);
  const ready = can("tenant_admin") && (changed || !given) && id !== "" && Object.keys(wrong).length === 0;

  const save = async (over = etag) => {
    setError(null);
    try {
      await request("PUT", path`/bots/${id}`, { body: config, query: { scope: target }, etag: becomesOwn ? null : over });
      releaseUnsaved();
      toast(`${id} is saved; all instances have it within 30 seconds`);
      if (given) onSaved();
      else navigate(fill("/bots/:bot_id", { bot_id: id }));
    } catch (refused) {
      if (!refused.isConflict) return setError(refused);
      const { data, etag: newer } = await request("GET", path`/bots/${id}`, { query: { scope: target } });
      setTheirs({ config: data.config, etag: newer });
    }
    return undefined;
  };
  useSaveKey(() => ready && save());

  const errors = { ...wrong, ...(error?.fields ?? {}) };
  const form = { schema: known.schema, root: known.root, value: config, onChange: setConfig, errors, labels: LABELS, disabled: !can("tenant_admin"), choices: { "llm.model": known.models, "memory.summary_model": known.models, "prompt.name": known.prompts } };
  const usesPrompt = Boolean(config.prompt);
  const choose = (prompt) => {
    const { prompt: _, system_prompt: __, ...rest } = config;
    setConfig(prompt ? { ...rest, prompt: { name: known.prompts[0] ?? "" } } : { ...rest, system_prompt: "" });
  };
  return html`<div class="columns">
    <div class="stack">
      ${becomesOwn && html`<p class="note">This bot is the platform's. What you save is the tenant's own, and answers in its place.</p>`}
      <${Card} title="Instructions">
        ${!given && html`<${Field} label="Id" hint="Letters, digits, dots, dashes; apps use it." error=${errors["path.bot_id"]}>${(field, described) => html`<input id=${field} class="code" aria-describedby=${described} value=${id} spellcheck=${false} onInput=${(event) => setId(event.target.value)} />`}<//>`}
        <${SchemaForm} ...${form} only=${["description"]} />
        <${Field} label="Instructions come from">${(field) => html`<select id=${field} disabled=${form.disabled} onChange=${(event) => choose(event.target.value === "prompt")}>
          <option value="text" selected=${!usesPrompt}>This bot's own text</option><option value="prompt" selected=${usesPrompt}>A prompt</option></select>`}<//>
        ${usesPrompt ? html`<${PromptChoice} form=${form} />` : html`<${SchemaForm} ...${form} only=${["system_prompt"]} />`}
      <//>
      <${Card} title="More"><${SchemaForm} ...${form} only=${REST} /><//>
    </div>
    <div class="stack">
      <${Card} title="Save" class="stays">
        <p role="status" class=${Object.keys(wrong).length ? "wrong" : "muted"}>${Object.keys(wrong).length ? `Not valid yet: ${Object.entries(wrong).map(([name, told]) => `${nameOf(name)}: ${told}`).join("; ")}` : changed ? "Valid, not saved yet." : "Nothing to save."}</p>
        <${ErrorBox} error=${error} />
        ${can("tenant_admin") && html`<div class="actions"><${Button} kind="primary" disabled=${!ready} onClick=${() => save()}>${becomesOwn ? "Save as the tenant's own" : "Save bot"}<//>
          ${changed && html`<${Button} onClick=${() => setConfig(stored)}>Discard<//>`}</div>`}
      <//>
      <${Card} title="Model"><${SchemaForm} ...${form} schema=${known.schema.properties.llm} value=${config.llm ?? {}} onChange=${(llm) => setConfig({ ...config, llm })} under="llm" /><//>
    </div>
    ${theirs && html`<${MergeDialog} what=${id} mine=${config} theirs=${theirs.config} onClose=${() => setTheirs(null)} onMine=${() => save(theirs.etag)}
      onTheirs=${() => (setConfig(theirs.config), setEtag(theirs.etag))} />`}
  </div>`;
}

/** A field as the form calls it: "llm.temperature" is "Model, temperature". @param {string} path @returns {string} */
export function nameOf(path) {
  return LABELS[path] ?? path.split(".").map((part, at) => (at ? plain(part).toLowerCase() : plain(part))).join(", ");
}

/** What is wrong with a bot, as far as its schema tells; the API has the last word. @param {any} config @param {any} known @returns {Record<string, string>} */
export function checkBot(config, known) {
  const wrong = checkObject(known.schema, config, known.root);
  if (config.prompt) {
    if (!config.prompt.name) wrong["prompt.name"] = "is required";
    if (config.prompt.label && config.prompt.version) wrong["prompt.version"] = "not together with a label";
  } else if (!config.system_prompt) wrong.system_prompt = "is required, unless a prompt is named";
  if (config.memory?.type === "buffer" && config.memory.summary_model) wrong["memory.summary_model"] = "is for the type summary";
  if (config.memory?.type === "summary" && config.memory.max_tokens < 1_000) wrong["memory.max_tokens"] = "must be at least 1000 for a summary";
  return wrong;
}

function PromptChoice({ form }) {
  const prompt = form.value.prompt;
  const schema = form.root.components.schemas.PromptReference;
  return html`<${SchemaForm} ...${form} schema=${schema} value=${prompt} onChange=${(next) => form.onChange({ ...form.value, prompt: next })} under="prompt" />`;
}
