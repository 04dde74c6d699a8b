/** Reasoning jobs: what is queued, works, waits for somebody or is over. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { Badge, ButtonLink, Empty, List, Page, Status, Time } from "../lib/ui.js";
import { number, shorten, words } from "../lib/format.js";

const FILTERS = [{ name: "status", label: "Status", kind: "select", choices: ["queued", "running", "waiting", "succeeded", "failed", "cancelled"] }];

const COLUMNS = [
  { label: "Job", value: (job) => job.job_id },
  { label: "Status", value: (job) => html`<span class="row"><${Status} value=${job.status} />${job.waiting_step ? html`<${Badge} tone="warn">approve ${words(job.waiting_step)}<//>` : job.waiting_for && html`<span class="muted">for ${job.waiting_for}</span>`}</span>` },
  { label: "Result", value: (job) => shorten(job.result?.summary ?? job.error, 110), wide: true },
  { label: "Steps", value: (job) => job.steps.length, align: "right" },
  { label: "Tokens", value: (job) => number(job.usage.total_tokens), align: "right" },
  { label: "Changed", value: (job) => html`<${Time} value=${job.updated_at} />` },
];

/** The list of jobs. */
export default function JobsPage() {
  return html`<${Page} title="Reasoning jobs" about="A text or a prompt that is reasoned about in steps, in the background."
      actions=${html`<${ButtonLink} kind="primary" href=${link("/jobs-new")}>New job<//>`}>
    <${List} caption="Reasoning jobs" filters=${FILTERS} columns=${COLUMNS} rowKey=${(job) => job.job_id} href=${(job) => link(fill("/jobs/:job_id", job))}
      load=${(query, signal) => get("/reasoning/jobs", query, { signal })}
      empty=${html`<${Empty} title="No jobs">Submit the first one, or change the filter.<//>`} />
  <//>`;
}
