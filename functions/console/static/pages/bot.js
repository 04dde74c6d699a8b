/** One bot: its configuration, checked as one types, and a place to talk with it. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, path, remove, request } from "../lib/api.js";
import { link, navigate } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, ButtonLink, Confirm, Loaded, Page, Tabs, toast, useLoaded } from "../lib/ui.js";
import { BotEditor } from "./bot_editor.js";
import { unlessChanged } from "./changed.js";

/** A bot, or a new one where the address has no id. @param {{params: {bot_id?: string}, query: {scope?: string}}} props */
export default function BotPage({ params, query }) {
  const back = { href: link("/bots"), label: "Bots" };
  const forms = useLoaded((signal) => loadForms(signal), []);
  if (forms.error && !forms.data) return html`<${Page} title=${params.bot_id ?? "New bot"} back=${back}><${Loaded} of=${forms} /><//>`;
  return html`<${Loaded} of=${forms}>${(known) => params.bot_id
    ? html`<${StoredBot} id=${params.bot_id} scope=${query.scope} back=${back} known=${known} />`
    : html`<${Page} title="New bot" back=${back}><${BotEditor} known=${known} /><//>`}<//>`;
}

/** What the editor needs: the schema of a bot, the models and the prompts that it may name. */
async function loadForms(signal) {
  const [api, models, prompts] = await Promise.all([
    get("/api/openapi.json", {}, { signal, tenant: null }),
    get("/models", {}, { signal }),
    get("/prompts", { limit: 100 }, { signal }),
  ]);
  return {
    root: api,
    schema: api.components.schemas.BotConfig,
    models: models.data.map((one) => one.id).filter((id) => !id.startsWith("bot/")),
    prompts: prompts.items.map((one) => one.name),
  };
}

function StoredBot({ id, scope, back, known }) {
  const found = useLoaded((signal) => request("GET", path`/bots/${id}`, { query: { scope }, signal }), [id, scope]);
  const [deleting, setDeleting] = useState(false);
  const take = async () => {
    const { source } = found.data.data;
    if (!(await unlessChanged("The bot", () => remove(path`/bots/${id}`, { query: { scope: source }, etag: found.data.etag }), found.reload))) return;
    toast(`${id} was deleted`);
    navigate("/bots");
  };
  const actions = html`<${ButtonLink} kind="primary" href=${link("/playground", { bot: id })}>Talk with it<//>
    ${found.data && can(found.data.data.source === "global" ? "admin" : "tenant_admin") && html`<${Button} kind="danger" onClick=${() => setDeleting(true)}>Delete…<//>`}`;
  return html`<${Page} title=${id} back=${back} actions=${actions}>
    <${Loaded} of=${found}>${({ data: bot, etag }) => html`
      <div class="row"><${Badge}>${bot.source === "global" ? "Global" : "The tenant's"}<//>${bot.config.tags.map((tag) => html`<${Badge} key=${tag}>${tag}<//>`)}</div>
      <${Tabs} label="Parts of the bot" tabs=${[
        { id: "edit", label: "Configuration", show: () => html`<${BotEditor} key=${etag} id=${id} bot=${bot} etag=${etag} known=${known} onSaved=${found.reload} />` },
        { id: "json", label: "As JSON", show: () => html`<pre tabindex="0">${JSON.stringify(bot.config, null, 2)}</pre>` },
      ]} />`}<//>
    ${deleting && html`<${Confirm} title=${`Delete ${id}?`} action="Delete" typed=${id} onClose=${() => setDeleting(false)}
      onConfirm=${take}>
      <p>Apps that talk to it are refused. Its conversations stay until they are deleted.</p><//>`}
  <//>`;
}
