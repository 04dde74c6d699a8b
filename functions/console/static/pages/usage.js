/** Usage and cost: by day, and by model, application or user; as charts, sums and CSV. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { BarList, TimeChart } from "../lib/charts.js";
import { saveFile, toCsv } from "../lib/files.js";
import { activeTenant } from "../lib/session.js";
import { Button, Card, Empty, Filters, Loaded, Page, Stat, Stats, Table, useLoaded } from "../lib/ui.js";
import { compact, daysBefore, daysBetween, money, number, percent, shiftDay } from "../lib/format.js";
import { seriesBy } from "./overview.js";

const GROUPS = { model: "Model", app_id: "App", user_id: "User" };
const NONE = { model: "no model", app_id: "no app", user_id: "no user" };
const FILTERS = [
  { name: "from", label: "First day", kind: "date" },
  { name: "to", label: "Last day", kind: "date" },
  { name: "by", label: "By", kind: "select", any: GROUPS.model, choices: [["app_id", GROUPS.app_id], ["user_id", GROUPS.user_id]] },
];
const NUMBERS = ["requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens", "cost"];

/** What was used. @param {{query: {from?: string, to?: string, by?: string}}} props */
export default function UsagePage({ query }) {
  const by = Object.hasOwn(GROUPS, query.by ?? "") ? query.by : "model";
  const to = query.to || daysBefore(0);
  const from = query.from || shiftDay(to, -29);
  const usage = useLoaded((signal) => loadUsage(from, to, by, signal), [activeTenant.value, from, to, by]);
  const download = () => saveFile(`usage-${activeTenant.value}-${from}-${to}.csv`, "text/csv", csvOf(usage.data));
  return html`<${Page} title="Usage and cost" about="What models were asked and what it cost, by days of UTC; 30 days unless others are chosen."
      actions=${html`<${Button} disabled=${!usage.data?.rows.length} onClick=${download}>Download CSV<//>`}>
    <${Filters} filters=${FILTERS} />
    <${Loaded} of=${usage}>${(data) => html`<${Used} ...${data} />`}<//>
  <//>`;
}

/** By day and group, and by group alone; both as the API sums them up. */
async function loadUsage(from, to, by, signal) {
  const [daily, groups] = await Promise.all([
    get("/usage", { from, to, group_by: `day,${by}` }, { signal }),
    get("/usage", { from, to, group_by: by }, { signal }),
  ]);
  return { by, days: daysBetween(from, to), currency: daily.currency, total: daily.total, rows: daily.items, groups: groups.items };
}

function csvOf({ by, rows, currency }) {
  return toCsv(["day", by, ...NUMBERS, "currency"], rows.map((row) => ({ ...row, currency })));
}

function Used({ by, days, currency, total, rows, groups }) {
  if (!rows.length) return html`<${Empty} title="Nothing was used in these days">Choose others, or ask a bot in the playground.<//>`;
  const cost = (value) => money(value, currency);
  const named = rows.map((row) => ({ ...row, name: row[by] ?? NONE[by] }));
  const series = (field) => seriesBy(named, "name", days, (row) => Number(row[field] ?? 0));
  const sorted = [...groups].sort((one, other) => Number(other.cost ?? 0) - Number(one.cost ?? 0) || other.total_tokens - one.total_tokens);
  const whole = Number(total.cost ?? 0);
  const columns = [
    { label: GROUPS[by], value: (row) => row[by] ?? html`<span class="muted">${NONE[by]}</span>`, wide: true },
    { label: "Requests", value: (row) => number(row.requests), align: "right" },
    { label: "Prompts", value: (row) => number(row.prompt_tokens), align: "right" },
    { label: "Cached", value: (row) => number(row.cached_tokens), align: "right" },
    { label: "Answers", value: (row) => number(row.completion_tokens), align: "right" },
    { label: "Cost", value: (row) => cost(row.cost), align: "right" },
    { label: "Share", value: (row) => (whole ? percent(Number(row.cost ?? 0) / whole) : "–"), align: "right" },
  ];
  return html`<${Stats}>
      <${Stat} label="Cost" value=${cost(total.cost)} hint=${`${cost(whole / days.length)} a day`} />
      <${Stat} label="Requests" value=${number(total.requests)} />
      <${Stat} label="Tokens" value=${compact(total.total_tokens)} hint=${`${compact(total.prompt_tokens)} of prompts, ${compact(total.completion_tokens)} of answers`} />
      <${Stat} label="From the cache" value=${percent(total.prompt_tokens ? total.cached_tokens / total.prompt_tokens : null)} hint="of the prompts' tokens" />
    <//>
    ${total.unpriced_models.length > 0 && html`<p class="note note-warn">Without a price, and not in the cost: ${total.unpriced_models.join(", ")}. A price is given in the catalogue of models.</p>`}
    <div class="grid">
      <${Card}><${TimeChart} title=${`Cost by ${GROUPS[by].toLowerCase()}`} days=${days} series=${series("cost")} format=${cost} /><//>
      <${Card}><${TimeChart} title=${`Tokens by ${GROUPS[by].toLowerCase()}`} days=${days} series=${series("total_tokens")} /><//>
    </div>
    <${Card} title="Who costs most"><${BarList} title=${`Cost by ${GROUPS[by].toLowerCase()}`} items=${sorted.slice(0, 8).map((row) => ({ label: row[by] ?? NONE[by], value: Number(row.cost ?? 0) }))} format=${cost} /><//>
    <${Table} caption=${`Sums by ${GROUPS[by].toLowerCase()}`} columns=${columns} rows=${sorted} rowKey=${(row) => row[by] ?? ""} />`;
}
