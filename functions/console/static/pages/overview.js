/** Overview: what a tenant used, what is left of its budget, and what needs a look. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { TimeChart } from "../lib/charts.js";
import { link } from "../lib/router.js";
import { activeTenant } from "../lib/session.js";
import { Badge, Card, Empty, ErrorBox, Facts, Filters, Loaded, Meter, Page, Stat, Stats, useLoaded } from "../lib/ui.js";
import { compact, daysBefore, daysBetween, duration, money, number, shorten, words } from "../lib/format.js";

const WEEK = 7;
const MOST_DAYS = 366; // that usage is summed up over
const FILTERS = [{ name: "days", label: "Time", kind: "select", any: "14 days", choices: [["30", "30 days"], ["90", "90 days"]] }];

/** The first page of a tenant. @param {{query: {days?: string}}} props */
export default function OverviewPage({ query }) {
  const shown = query.days ? Number(query.days) : 14;
  const exists = Number.isInteger(shown) && shown >= 1 && shown <= MOST_DAYS;
  return html`<${Page} title="Overview" about=${`What ${activeTenant.value} used; days are UTC's.`} actions=${html`<${Filters} filters=${FILTERS} />`}>
    ${exists ? html`<${Days} shown=${shown} />` : html`<${ErrorBox} error=${{ message: `The address asks for ${shorten(query.days, 20)} days; it may be a whole number from 1 to ${MOST_DAYS}.`, hint: "Choose a time at the top of the page." }} />`}
  <//>`;
}

function Days({ shown }) {
  const days = daysBetween(daysBefore(shown - 1), daysBefore(0));
  const span = { from: days[0], to: days.at(-1) };
  const usage = useLoaded((signal) => get("/usage", { ...span, group_by: "day,model" }, { signal }), [activeTenant.value, shown]);
  return html`<${Loaded} of=${usage}>${(data) => html`<${Usage} usage=${data} days=${days} />`}<//>
    <div class="grid"><${Budget} /><${Work} /></div>
    ${!(usage.loading && usage.data === null) && html`<${WhenSeen}><${Health} days=${days} span=${span} /><//>`}`;
}

function Usage({ usage, days }) {
  const sum = (rows, field) => rows.reduce((whole, row) => whole + Number(row[field] ?? 0), 0);
  const between = (first, last) => usage.items.filter((row) => row.day >= first && row.day <= last);
  const [now, before] = [between(daysBefore(WEEK - 1), daysBefore(0)), between(daysBefore(2 * WEEK - 1), daysBefore(WEEK))];
  const change = (field) => {
    const [later, earlier] = [sum(now, field), sum(before, field)];
    return earlier ? later / earlier - 1 : null;
  };
  const cost = (value) => money(value, usage.currency);
  const series = (field) => seriesBy(usage.items, "model", days, (row) => Number(row[field] ?? 0));
  return html`<${Stats}>
      <${Stat} label="Requests, last 7 days" value=${number(sum(now, "requests"))} change=${change("requests")} />
      <${Stat} label="Tokens, last 7 days" value=${compact(sum(now, "total_tokens"))} change=${change("total_tokens")} />
      <${Stat} label="Cost, last 7 days" value=${cost(sum(now, "cost"))} change=${change("cost")} good="down" />
      <${Stat} label=${`Cost, ${days.length} days`} value=${cost(usage.total.cost)} hint=${`${compact(usage.total.total_tokens)} tokens in ${number(usage.total.requests)} requests`} />
    <//>
    ${usage.total.unpriced_models.length > 0 && html`<p class="note note-warn">Without a price, and not in the cost: ${usage.total.unpriced_models.join(", ")}.</p>`}
    ${usage.items.length === 0 ? html`<${Empty} title="Nothing was used in these days">Ask a bot in the playground, or call the API.<//>` : html`<div class="grid">
      <${Card}><${TimeChart} title="Cost by model" days=${days} series=${series("cost")} format=${cost} /><//>
      <${Card}><${TimeChart} title="Tokens by model" days=${days} series=${series("total_tokens")} /><//>
      <${Card}><${TimeChart} title="Requests by model" days=${days} series=${series("requests")} /><//>
    </div>`}`;
}

/** Rows of the API as series over days. @param {any[]} rows @param {string} by @param {string[]} days @param {(row: any) => number} value */
export function seriesBy(rows, by, days, value) {
  const places = new Map(days.map((day, at) => [day, at]));
  const found = new Map();
  for (const row of rows) {
    const label = row[by] ?? "–";
    if (!found.has(label)) found.set(label, days.map(() => 0));
    if (places.has(row.day)) found.get(label)[places.get(row.day)] += value(row);
  }
  return [...found].map(([label, values]) => ({ label, values })).sort((one, other) => one.label.localeCompare(other.label));
}

/** What is left now to an application that has no share of its own. */
function Budget() {
  const status = useLoaded((signal) => get("/tokens/status", { app_id: "console" }, { signal }), [activeTenant.value]);
  return html`<${Card} title="Budget left" actions=${html`<a href=${link("/limits")}>All limits</a>`}><${Loaded} of=${status}>${(left) => html`
    <${Meter} label="Tokens" available=${left.available_tokens} limit=${left.limit_tokens} by=${left.tokens_limited_by} />
    <${Meter} label="Requests" available=${left.available_requests} limit=${left.limit_requests} by=${left.requests_limited_by} />
    <${Facts} items=${[["More of it in", duration(left.reset_time_seconds * 1000)], ["Locked now", `${number(left.locked_tokens)} tokens`], ...(left.debt_tokens ? [["Debt", `${number(left.debt_tokens)} tokens`]] : [])]} />`}<//><//>`;
}

const OPEN = ["queued", "running", "waiting"];

function Work() {
  const load = async (signal) => {
    const [dead, ...jobs] = await Promise.all([
      get("/dead-letters", { limit: 20 }, { signal }),
      ...OPEN.map((status) => get("/reasoning/jobs", { status, limit: 10 }, { signal })),
    ]);
    return { dead, jobs };
  };
  const work = useLoaded(load, [activeTenant.value]);
  const count = (page) => `${page.items.length}${page.next_cursor ? "+" : ""}`;
  return html`<${Card} title="Work"><${Loaded} of=${work}>${({ dead, jobs }) => html`<${Facts} items=${[
    ...OPEN.map((status, at) => [`Jobs ${status.replaceAll("_", " ")}`, html`<a href=${link("/jobs", { status })}>${count(jobs[at])}</a>`]),
    ["Dead letters", html`<a href=${link("/dead-letters")}>${dead.items.length ? html`<${Badge} tone="bad">${count(dead)}<//>` : "none"}</a>`],
  ]} />`}<//><//>`;
}

/** Draws its part of the page when it comes into sight, so that the first of the page is there earlier; it stands where it stays. */
function WhenSeen({ children }) {
  const holder = useRef(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true), { rootMargin: "200px" });
    watch.observe(holder.current);
    return () => watch.disconnect();
  }, []);
  return html`<div ref=${holder}>${seen ? children : html`<p class="muted below">Further down: errors, outcomes and times.</p>`}</div>`;
}

function Health({ days, span }) {
  const load = async (signal) => {
    const [calls, logs] = await Promise.all([
      get("/calls/summary", { ...span, group_by: "day" }, { signal }),
      get("/logs/summary", span, { signal }),
    ]);
    return { calls, logs };
  };
  const found = useLoaded(load, [activeTenant.value, days.length]);
  return html`<${Loaded} of=${found}>${({ calls, logs }) => {
    const levels = logs.days.flatMap(({ day, levels: counts }) => ["WARNING", "ERROR", "CRITICAL"].map((level) => ({ day, level: words(level.toLowerCase()), count: counts[level] ?? 0 })));
    const outcomes = calls.items.flatMap(({ day, statuses }) => Object.entries(statuses).map(([status, count]) => ({ day, status: words(status), count })));
    const quick = days.map((day) => calls.items.find((row) => row.day === day)?.duration_ms ?? null);
    const times = [["p50", "Half of them within"], ["p95", "95 % within"]].map(([name, label]) => ({ label, values: quick.map((one) => one?.[name] ?? null) }));
    return html`<div class="grid">
      <${Card}><${TimeChart} title="Errors and warnings in the log" days=${days} series=${seriesBy(levels, "level", days, (row) => row.count)} /><//>
      <${Card}><${TimeChart} title="Model calls by outcome" days=${days} series=${seriesBy(outcomes, "status", days, (row) => row.count)} /><//>
      <${Card}><${TimeChart} title="Time of model calls" days=${days} series=${times} kind="lines" format=${duration} /><//>
    </div>`;
  }}<//>`;
}
