/** Prompts: the tenant's and the global ones, by the beginning of their names. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, path, post } from "../lib/api.js";
import { fill, link, place } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, ButtonLink, Empty, List, Page, Time, toast } from "../lib/ui.js";
import { shorten } from "../lib/format.js";
import { unlessChanged } from "./changed.js";

const FILTERS = [
  { name: "prefix", label: "Name begins with" },
  { name: "tag", label: "Tag" },
  { name: "scope", label: "Whose", kind: "select", choices: [["tenant", "The tenant's"], ["global", "Global"]] },
  { name: "deleted", label: "Deleted ones", kind: "checkbox" },
];

const COLUMNS = [
  { label: "Name", value: (prompt) => prompt.name },
  { label: "Description", value: (prompt) => shorten(prompt.description, 90), wide: true },
  { label: "Labels", value: (prompt) => html`<${Labels} labels=${prompt.labels} />` },
  { label: "Version", value: (prompt) => prompt.version, align: "right" },
  { label: "Changed", value: (prompt) => html`<${Time} value=${prompt.updated_at} />` },
];

/** A prompt's labels with their versions. @param {{labels: Record<string, number>}} props */
export function Labels({ labels }) {
  return html`<span class="row">${Object.entries(labels)
    .filter(([name]) => name !== "latest")
    .map(([name, version]) => html`<${Badge} key=${name} tone=${name === "production" ? "good" : "info"}>${name} ${version}<//>`)}</span>`;
}

/** The list of prompts. */
export default function PromptsPage() {
  const [round, setRound] = useState(0);
  const again = () => setRound(round + 1);
  const restore = async ({ name, source, etag }) => {
    const send = () => post(path`/prompts/${name}/restore`, undefined, { query: { scope: source }, etag, once: newOnce() });
    if (await unlessChanged("The prompt", send, again)) toast(`${name} is in use again`);
    again();
  };
  const deleted = place.value.query.deleted === "true";
  const change = { label: "Change", value: (prompt) => can(prompt.source === "global" ? "admin" : "tenant_admin") && html`<${Button} kind="link" aria-label=${`Restore ${prompt.name}`} onClick=${() => restore(prompt)}>Restore<//>` };
  const actions = can("tenant_admin") && html`<${ButtonLink} kind="primary" href=${link("/prompts-new")}>New prompt<//>`;
  return html`<${Page} title="Prompts" about="Texts that bots, jobs and apps ask models with; each save is a version." actions=${actions}>
    <${List} caption="Prompts" filters=${FILTERS} columns=${deleted ? [...COLUMNS, change] : COLUMNS} needs=${[round]} rowKey=${(prompt) => `${prompt.source}/${prompt.name}`}
      load=${({ tab, ...query }, signal) => get("/prompts", query, { signal })}
      href=${(prompt) => !deleted && link(fill("/prompts/:name", { name: prompt.name }), { scope: prompt.source === "global" ? "global" : "" })}
      empty=${html`<${Empty} title="No prompts">Save the first one, or change the filter.<//>`} />
  <//>`;
}
