/** The audit trail: who changed what in the tenant, and, for the administrator, in the platform. */
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { link } from "../lib/router.js";
import { activeTenant, can } from "../lib/session.js";
import { Badge, Empty, List, Page, Status } from "../lib/ui.js";
import { moment, words } from "../lib/format.js";
import { plain } from "../lib/wording.js";
import { timesOf } from "./calls.js";

/** What is noted, as the API names it. */
export const ACTIONS = [
  "admin.act", "content.read", "deadletter.delete", "deadletter.replay", "key.create", "key.revoke", "key.rotate", "limits.delete", "limits.put", "model.delete", "model.put",
  "setting.delete", "setting.put", "tenant.create", "tenant.export", "tenant.purge", "tenant.update", "webhook.create", "webhook.delete", "webhook.rotate",
];
const FILTERS = [
  { name: "action", label: "Action", kind: "select", choices: ACTIONS.map((action) => [action, plain(action)]) },
  { name: "from", label: "First day", kind: "date" },
  { name: "to", label: "Last day", kind: "date" },
];
const WHOSE = { name: "whose", label: "Whose", kind: "select", any: "The tenant's", choices: [["platform", "The platform's"]] };

const COLUMNS = [
  { label: "When", value: (entry) => html`<time class="nowrap" datetime=${entry.at}>${moment(entry.at)}</time>` },
  { label: "Who", value: (entry) => html`<span>${words(entry.actor.kind)} ${entry.actor.id && html`<code>${entry.actor.id}</code>`}</span>` },
  { label: "Action", value: (entry) => html`<${Badge}>${plain(entry.action)}<//>` },
  { label: "What", value: (entry) => html`<div><code>${entry.subject}</code>${Object.entries(entry.detail).map(([name, value]) => html`<div class="muted" key=${name}>${words(name)}: ${value}</div>`)}</div>`, wide: true },
  { label: "Outcome", value: (entry) => html`<${Status} value=${entry.outcome} />` },
  { label: "Request", value: (entry) => (entry.request_id ? html`<a href=${link("/logs", { request_id: entry.request_id, from: entry.at.slice(0, 10), to: entry.at.slice(0, 10) })} aria-label=${`Log of ${entry.request_id}`}>Log</a>` : "–") },
];

/** The trail. @param {{query: Record<string, string>}} props */
export default function AuditPage({ query }) {
  const ofPlatform = can("admin") && (query.whose === "platform" || !activeTenant.value);
  const load = ({ whose, ...asked }, signal) => get(ofPlatform ? "/platform/audit" : "/audit", { ...asked, ...timesOf(asked) }, { signal, ...(ofPlatform ? { tenant: null } : {}) });
  return html`<${Page} title="Audit" about=${ofPlatform ? "What was done to the platform itself, the newest first. It outlives the tenants that it tells of." : "Changes of keys, settings and limits, exports, and each time the platform's administrator acted for the tenant; the newest first."}>
    <${List} caption="Audit trail" filters=${can("admin") && activeTenant.value ? [WHOSE, ...FILTERS] : FILTERS} columns=${COLUMNS} needs=${[ofPlatform]} rowKey=${(entry) => entry.id} load=${load}
      empty=${html`<${Empty} title="Nothing of this was done">Change the filter, or choose other days.<//>`} />
  <//>`;
}
