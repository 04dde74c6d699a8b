/** Bots: the tenant's and the global ones. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, ButtonLink, Empty, List, Page, Time } from "../lib/ui.js";
import { shorten } from "../lib/format.js";

const FILTERS = [{ name: "prefix", label: "Id begins with" }, { name: "scope", label: "Whose", kind: "select", any: "The tenant's", choices: [["global", "Global"]] }];

const COLUMNS = [
  { label: "Bot", value: (bot) => bot.bot_id },
  { label: "Description", value: (bot) => shorten(bot.config.description, 90), wide: true },
  { label: "Model", value: (bot) => bot.config.llm.model ?? html`<span class="muted">default</span>` },
  { label: "Prompt", value: (bot) => (bot.config.prompt ? html`<a href=${link(fill("/prompts/:name", bot.config.prompt))}>${bot.config.prompt.name}</a>` : html`<span class="muted">its own</span>`) },
  { label: "Tags", value: (bot) => html`<span class="row">${bot.config.tags.map((tag) => html`<${Badge} key=${tag}>${tag}<//>`)}</span>` },
  { label: "Changed", value: (bot) => html`<${Time} value=${bot.updated_at} />` },
];

/** The list of bots. */
export default function BotsPage() {
  const actions = can("tenant_admin") && html`<${ButtonLink} kind="primary" href=${link("/bots-new")}>New bot<//>`;
  return html`<${Page} title="Bots" about="A model with instructions and a memory, under a name that apps talk to." actions=${actions}>
    <${List} caption="Bots" filters=${FILTERS} columns=${COLUMNS} rowKey=${(bot) => `${bot.source}/${bot.bot_id}`}
      load=${(query, signal) => get("/bots", query, { signal })}
      href=${(bot) => link(fill("/bots/:bot_id", bot), { scope: bot.source === "global" ? "global" : "" })}
      empty=${html`<${Empty} title="No bots">Make the first one, which answers at once, or change the filter.<//>`} />
  <//>`;
}
