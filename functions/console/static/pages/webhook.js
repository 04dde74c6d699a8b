/** One webhook: what was delivered to it, and what is tried again. */
import { html } from "../lib/html.js";
import { get, path } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { Badge, Empty, List, Loaded, Page, Status, Time, useLoaded } from "../lib/ui.js";
import { number, words } from "../lib/format.js";

const COLUMNS = [
  { label: "Job", value: (delivery) => html`<a href=${link(fill("/jobs/:job_id", delivery))}>${delivery.job_id}</a>` },
  { label: "Told of", value: (delivery) => words(delivery.event.replace("job.", "")) },
  { label: "Status", value: (delivery) => html`<${Status} value=${delivery.status} />` },
  { label: "Answer", value: (delivery) => html`<div>${delivery.status_code ?? "none"}${delivery.problem && html` <span class="muted">${delivery.problem}</span>`}</div>`, wide: true },
  { label: "Attempts", value: (delivery) => number(delivery.attempts), align: "right" },
  { label: "Ended", value: (delivery) => html`<${Time} value=${delivery.created_at} />` },
  { label: "Tried next", value: (delivery) => html`<${Time} value=${delivery.next_attempt_at} />` },
];

/** A webhook's deliveries. @param {{params: {webhook_id: string}}} props */
export default function WebhookPage({ params }) {
  const found = useLoaded(async (signal) => (await get("/webhooks", { limit: 100 }, { signal })).items.find((hook) => hook.webhook_id === params.webhook_id), [params.webhook_id]);
  return html`<${Page} title="Webhook" back=${{ href: link("/webhooks"), label: "Webhooks" }} about="What was delivered in the last 30 days. What is not taken is tried 8 times over 21 hours.">
    <${Loaded} of=${found}>${(hook) => hook && html`<p class="row"><code class="text">${hook.url}</code>${hook.events.map((event) => html`<${Badge} key=${event}>${words(event.replace("job.", ""))}<//>`)}</p>`}<//>
    <${List} caption="Deliveries" columns=${COLUMNS} needs=${[params.webhook_id]} rowKey=${(delivery) => delivery.delivery_id} load=${(query, signal) => get(path`/webhooks/${params.webhook_id}/deliveries`, query, { signal })}
      empty=${html`<${Empty} title="Nothing was delivered yet">A job names it as its callback URL; its end is told here.<//>`} />
  <//>`;
}
