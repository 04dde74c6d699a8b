/** Feedback: what people wrote, as the analyses of it tell: by hashtag, category, language and day; and the list. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, post } from "../lib/api.js";
import { BarList, TimeChart } from "../lib/charts.js";
import { fill, link, navigate, place } from "../lib/router.js";
import { activeTenant } from "../lib/session.js";
import { Badge, Button, ButtonLink, Card, Dialog, Empty, ErrorBox, Field, Filters, List, Loaded, Page, Stat, Stats, Status, Tabs, Time, toast, useLoaded } from "../lib/ui.js";
import { daysBetween, number, percent, shorten, words } from "../lib/format.js";

const HASHTAGS = ["#product", "#service", "#usability", "#performance", "#suggestion", "#bug", "#positive", "#negative"];
const CATEGORIES = ["complaint", "praise", "question", "request", "report", "other"];
const DAYS = [
  { name: "from", label: "First day", kind: "date" },
  { name: "to", label: "Last day", kind: "date" },
];
const FILTERS = [
  ...DAYS,
  { name: "hashtag", label: "Hashtag", kind: "select", choices: HASHTAGS.map((one) => [one, one]) },
  { name: "category", label: "Category", kind: "select", choices: CATEGORIES },
  { name: "language", label: "Language", placeholder: "de" },
  { name: "status", label: "Status", kind: "select", choices: ["queued", "running", "waiting", "succeeded", "failed"] },
  { name: "contains_pii", label: "With personal data", kind: "checkbox" },
];
const COLUMNS = [
  { label: "Feedback", value: (one) => one.task_id ?? one.feedback_id },
  { label: "Summary", value: (one) => shorten(one.analysis?.summary ?? one.error, 140), wide: true },
  { label: "Hashtag", value: (one) => one.analysis?.hashtag ?? "–" },
  { label: "Category", value: (one) => words(one.analysis?.category) },
  { label: "Language", value: (one) => one.language },
  { label: "Status", value: (one) => html`<span class="row"><${Status} value=${one.status} />${one.analysis?.contains_pii && html`<${Badge} tone="warn">personal data<//>`}</span>` },
  { label: "Came", value: (one) => html`<${Time} value=${one.created_at} />` },
];

/** Feedback. */
export default function FeedbackPage() {
  const [writing, setWriting] = useState(false);
  const actions = html`<${ButtonLink} href=${link("/feedback-import")}>Import CSV<//><${Button} kind="primary" onClick=${() => setWriting(true)}>New feedback<//>`;
  return html`<${Page} title="Feedback" about="What people wrote, analysed: a hashtag, a category and a summary without personal data." actions=${actions}>
    <${Tabs} label="Views of the feedback" tabs=${[
      { id: "charts", label: "Charts", show: () => html`<${Charts} />` },
      { id: "list", label: "List", show: () => html`<${All} />` },
    ]} />
    ${writing && html`<${Write} onClose=${() => setWriting(false)} />`}
  <//>`;
}

function All() {
  return html`<${List} caption="List of feedback" filters=${FILTERS} columns=${COLUMNS} rowKey=${(one) => one.feedback_id} href=${(one) => link(fill("/feedback/:feedback_id", one))}
    load=${({ tab, ...query }, signal) => get("/feedback", query, { signal })}
    empty=${html`<${Empty} title="No feedback">Write the first one, import a file, or change the filter.<//>`} />`;
}

function Charts() {
  const { from, to } = place.value.query;
  const found = useLoaded((signal) => get("/feedback/summary", { from, to }, { signal }), [activeTenant.value, from, to]);
  return html`<${Filters} filters=${DAYS} /><${Loaded} of=${found}>${(sums) => html`<${Sums} sums=${sums} />`}<//>`;
}

function Sums({ sums }) {
  if (!sums.total) return html`<${Empty} title="No feedback in these days">Write the first one, import a file, or choose other days.<//>`;
  const days = daysBetween(sums.first_day, sums.last_day);
  const span = { from: sums.first_day, to: sums.last_day };
  const bars = (counts, name, label = (one) => one) =>
    Object.entries(counts).sort(([, one], [, other]) => other - one).map(([one, value]) => ({ label: label(one), value, href: link("/feedback", { tab: "list", ...span, [name]: one }) }));
  const analysed = sums.by_status.succeeded ?? 0;
  const open = sums.total - analysed - (sums.by_status.failed ?? 0) - (sums.by_status.cancelled ?? 0);
  return html`<${Stats}>
      <${Stat} label="Feedback" value=${number(sums.total)} hint=${`${sums.first_day} to ${sums.last_day}`} />
      <${Stat} label="Analysed" value=${percent(analysed / sums.total)} hint=${open ? `${number(open)} to come` : "nothing to come"} />
      <${Stat} label="Failed" value=${number(sums.by_status.failed ?? 0)} href=${link("/feedback", { tab: "list", status: "failed" })} />
      <${Stat} label="With personal data" value=${number(sums.contains_pii)} href=${link("/feedback", { tab: "list", ...span, contains_pii: true })} />
    <//>
    <div class="grid">
      <${Card}><${TimeChart} title="Feedback by day" days=${days} series=${[{ label: "Feedback", values: days.map((day) => sums.by_day[day] ?? 0) }]} format=${number} /><//>
      <${Card} title="By hashtag"><${BarList} title="Feedback by hashtag" items=${bars(sums.by_hashtag, "hashtag")} /><//>
      <${Card} title="By category"><${BarList} title="Feedback by category" items=${bars(sums.by_category, "category", words)} /><//>
      <${Card} title="By language"><${BarList} title="Feedback by language" items=${bars(sums.by_language, "language")} /><//>
    </div>`;
}

function Write({ onClose }) {
  const [given, setGiven] = useState({ text: "", language: "en", task_id: "" });
  const [error, setError] = useState(null);
  const [once, setOnce] = useState(newOnce);
  const set = (changes) => (setGiven({ ...given, ...changes }), setOnce(newOnce()));
  const send = async () => {
    try {
      const made = await post("/feedback", { text: given.text, language: given.language, ...(given.task_id ? { task_id: given.task_id } : {}) }, { once });
      toast("It is accepted, and analysed now");
      onClose();
      navigate(fill("/feedback/:feedback_id", made));
    } catch (refused) {
      setError(refused);
    }
  };
  const wrong = error?.fields ?? {};
  const field = (name, label, hint) => html`<${Field} label=${label} hint=${hint} error=${wrong[`body.${name}`]}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${given[name]} onInput=${(event) => set({ [name]: event.target.value })} />`}<//>`;
  return html`<${Dialog} title="New feedback" onClose=${onClose}><div class="dialog-body">
      <${Field} label="Text" error=${wrong["body.text"]}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="6" value=${given.text} onInput=${(event) => set({ text: event.target.value })}></textarea>`}<//>
      ${field("language", "Language", "As `de` or `pt-BR`; the summary is in it.")}${field("task_id", "Your own name for it", "May be left empty.")}
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" disabled=${!given.text.trim() || !given.language.trim()} onClick=${send}>Send feedback<//></footer><//>`;
}
