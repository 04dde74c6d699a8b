/** Health: whether each dependency answers, as one worker sees it, and how its caches do. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { Badge, Card, Loaded, Page, Stat, Stats, Status, Table, usePolled } from "../lib/ui.js";
import { duration, number, percent, words } from "../lib/format.js";

const DEPENDENCIES = [
  { label: "Dependency", value: (one) => one.name },
  { label: "State", value: (one) => html`<${Status} value=${one.state} />` },
  { label: "Calls to it", value: (one) => ({ closed: "let through", open: "held back for now", half_open: "tried again" })[one.breaker] ?? words(one.breaker) },
  { label: "Parts that refuse the rate", value: (one) => number(one.throttled_parts), align: "right" },
  { label: "What is wrong", value: (one) => one.reason ?? "–", wide: true },
];
const CACHES = [
  { label: "Cache", value: (one) => words(one.region) },
  { label: "Entries", value: (one) => number(one.entries), align: "right" },
  { label: "Answered", value: (one) => percent(one.hits + one.misses ? one.hits / (one.hits + one.misses) : null), align: "right" },
  { label: "Made room", value: (one) => number(one.evictions), align: "right" },
  { label: "Stood in for an outage", value: (one) => number(one.last_good), align: "right" },
  { label: "Oldest answer", value: (one) => duration(one.oldest_served_seconds * 1_000), align: "right" },
];
const LOG = { off: ["quiet", "Off"], written: ["good", "Written"], failing: ["bad", "Failing"] };

/** The state of all, also where some of it is down (503). */
async function readHealth(signal) {
  try {
    return await get("/api/health/ready", {}, { signal, tenant: null });
  } catch (error) {
    if (!error.detail?.dependencies) throw error;
    return { status: error.message, dependencies: error.detail.dependencies, caches: null, log_file: null };
  }
}

/** The page. */
export default function HealthPage() {
  const found = usePolled(readHealth, () => true, []);
  return html`<${Page} title="Health" about="What the worker that answered sees; it is asked again every few seconds.">
    <${Loaded} of=${found}>${({ status, dependencies, caches, log_file: log }) => {
      const down = dependencies.filter((one) => one.state !== "up");
      return html`<div class="stack"><${Stats}>
        <${Stat} label="The app" value=${down.length ? html`<${Badge} tone="bad">Not ready<//>` : html`<${Badge} tone="good">Ready<//>`} hint=${down.length ? status : "all of it answers"} />
        <${Stat} label="Dependencies up" value=${`${dependencies.length - down.length} of ${dependencies.length}`} />
        ${log && html`<${Stat} label="Log file" value=${html`<${Badge} tone=${LOG[log][0]}>${LOG[log][1]}<//>`} />`}
      <//>
      <${Table} caption="Dependencies" columns=${DEPENDENCIES} rows=${dependencies} rowKey=${(one) => one.name} />
      ${caches && html`<${Card} title="Caches of this worker"><${Table} caption="Caches" columns=${CACHES} rows=${caches} rowKey=${(one) => one.region} /><//>`}</div>`;
    }}<//>
  <//>`;
}
