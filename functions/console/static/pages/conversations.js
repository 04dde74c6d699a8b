/** Conversations: those with one bot, the ones that were gone on with last by their times. */
import { html } from "../lib/html.js";
import { get, path } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Empty, Filters, List, Loaded, Page, Time, useLoaded } from "../lib/ui.js";

const COLUMNS = [
  { label: "Conversation", value: (one) => one.title ?? one.conversation_id, wide: true },
  { label: "User", value: (one) => one.user_id ?? html`<span class="muted">nobody's</span>` },
  { label: "Turns", value: (one) => one.turns, align: "right" },
  { label: "Begun", value: (one) => html`<${Time} value=${one.created_at} />` },
  { label: "Gone on", value: (one) => html`<${Time} value=${one.updated_at} />` },
];

/** The list of a bot's conversations. @param {{query: {bot?: string, user_id?: string}}} props */
export default function ConversationsPage({ query }) {
  const bots = useLoaded(loadBots, []);
  return html`<${Page} title="Conversations" about=${can("tenant_admin") ? "What people and bots said to each other." : "What you and bots said to each other."}>
    <${Loaded} of=${bots}>${(ids) => (ids.length ? html`<${OfBot} ids=${ids} query=${query} />` : html`<${Empty} title="No bots">An administrator makes one under Bots; then it can be talked with.<//>`)}<//>
  <//>`;
}

async function loadBots(signal) {
  const [own, global] = await Promise.all([get("/bots", { limit: 100 }, { signal }), get("/bots", { limit: 100, scope: "global" }, { signal })]);
  return [...new Set([...own.items, ...global.items].map((bot) => bot.bot_id))].sort();
}

function OfBot({ ids, query }) {
  const bot = query.bot || ids[0];
  const filters = [
    { name: "bot", label: "Bot", kind: "select", any: ids[0], choices: ids.slice(1).map((id) => [id, id]) },
    ...(can("tenant_admin") ? [{ name: "user_id", label: "User", placeholder: "All users" }] : []),
  ];
  return html`<${Filters} filters=${filters} />
    <${List} caption=${`Conversations with ${bot}`} columns=${COLUMNS} rowKey=${(one) => one.conversation_id} needs=${[bot]}
      load=${({ bot: _, ...rest }, signal) => get(path`/bots/${bot}/conversations`, rest, { signal })}
      href=${(one) => link(fill("/bots/:bot_id/conversations/:conversation_id", { bot_id: bot, ...one }))}
      empty=${html`<${Empty} title="No conversations">Talk with this bot in the <a href=${link("/playground", { bot })}>playground</a>, or choose another.<//>`} />`;
}
