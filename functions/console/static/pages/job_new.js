/** A new reasoning job: what it is about, and how it is reasoned. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, path, post } from "../lib/api.js";
import { SchemaForm } from "../lib/form.js";
import { fill, link, navigate, releaseUnsaved } from "../lib/router.js";
import { valueOf } from "../lib/template.js";
import { Button, Card, ErrorBox, Field, Loaded, Page, toast, useLoaded, useUnsaved } from "../lib/ui.js";

const MAIN = ["strategy", "model", "needs_approval"];
const MORE = ["task_id", "id", "max_output_tokens", "token_budget", "deadline_seconds", "callback_url"];
const LABELS = { strategy: "Strategy", model: "Model", needs_approval: "Ask a person before it goes on", task_id: "Your own name for the task", id: "Id", max_output_tokens: "Most tokens of the analysis", token_budget: "Most tokens of all calls", deadline_seconds: "Seconds until it fails", callback_url: "Webhook to tell" };

/** The form of a job. */
export default function NewJobPage() {
  const known = useLoaded(loadChoices, []);
  return html`<${Page} title="New job" back=${{ href: link("/jobs"), label: "Reasoning jobs" }}><${Loaded} of=${known}>${(data) => html`<${Form} known=${data} />`}<//><//>`;
}

async function loadChoices(signal) {
  const [root, models, prompts] = await Promise.all([
    get("/api/openapi.json", {}, { signal, tenant: null }),
    get("/models", {}, { signal }),
    get("/prompts", { limit: 100 }, { signal }),
  ]);
  return { root, schema: root.components.schemas.JobRequest, models: models.data.map((one) => one.id).filter((id) => !id.startsWith("bot/")), prompts: prompts.items.map((one) => one.name) };
}

/** What is sent: fields that were left empty are left out. @param {any} job @returns {any} */
export function bodyOf(job) {
  const { prompt_name: prompt, text, variables, ...rest } = job;
  const about = prompt ? { prompt_name: prompt, variables: variables ?? {} } : { text };
  return Object.fromEntries(Object.entries({ ...rest, ...about }).filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false));
}

function Form({ known }) {
  const [job, setJob] = useState({ strategy: "direct", text: "" });
  const [error, setError] = useState(null);
  const [once, setOnce] = useState(newOnce);
  const [submitted, setSubmitted] = useState(false);
  useUnsaved(!submitted && Boolean(job.text || job.prompt_name));
  const set = (next) => {
    setJob(next);
    setOnce(newOnce()); // another job
  };
  const submit = async () => {
    setError(null);
    try {
      const made = await post("/reasoning/jobs", bodyOf(job), { once });
      setSubmitted(true);
      releaseUnsaved();
      toast(`${made.job_id} is accepted`);
      navigate(fill("/jobs/:job_id", made));
    } catch (refused) {
      setError(refused);
    }
  };
  const errors = error?.fields ?? {};
  const form = (only) => html`<${SchemaForm} schema=${known.schema} root=${known.root} only=${only} value=${job} onChange=${set} labels=${LABELS} errors=${errors} choices=${{ model: known.models }} />`;
  return html`<div class="columns">
    <${Card} title="What it is about">
      <${Field} label="From" hint="A text of yours, or one of the tenant's prompts.">${(id, described) => html`<select id=${id} aria-describedby=${described} onChange=${(event) => set({ ...job, prompt_name: event.target.value, variables: {} })}>
        <option value="">A text</option>${known.prompts.map((name) => html`<option key=${name} value=${name} selected=${name === job.prompt_name}>Prompt ${name}</option>`)}</select>`}<//>
      ${job.prompt_name ? html`<${Variables} name=${job.prompt_name} value=${job.variables} errors=${errors} onChange=${(variables) => set({ ...job, variables })} />`
        : html`<${Field} label="Text" error=${errors["body.text"]}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="12" value=${job.text} onInput=${(event) => set({ ...job, text: event.target.value })}></textarea>`}<//>`}
      <${ErrorBox} error=${error} />
      <div class="actions"><${Button} kind="primary" disabled=${!job.prompt_name && !job.text.trim()} onClick=${submit}>Submit job<//></div>
    <//>
    <${Card} title="How">${form(MAIN)}<details><summary>More</summary><div class="stack">${form(MORE)}</div></details><//>
  </div>`;
}

function Variables({ name, value, errors, onChange }) {
  const prompt = useLoaded((signal) => get(path`/prompts/${name}`, {}, { signal }), [name]);
  return html`<${Loaded} of=${prompt}>${(found) => html`<pre class="plain">${found.template}</pre>
    ${found.variables.map((one) => html`<${Field} key=${one} label=${one} hint=${found.declared_variables[one]?.description ?? undefined} error=${errors[`body.variables.${one}`]}>${(id, described) => html`<input id=${id} aria-describedby=${described}
      value=${valueOf(value, one) ?? ""} onInput=${(event) => onChange({ ...value, [one]: event.target.value })} />`}<//>`)}`}<//>`;
}
