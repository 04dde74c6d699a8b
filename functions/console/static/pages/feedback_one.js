/** One feedback: its analysis, as soon as it is there. */
import { html } from "../lib/html.js";
import { get, path } from "../lib/api.js";
import { link } from "../lib/router.js";
import { Badge, Card, ErrorBox, Facts, Loaded, Page, Status, Time, usePolled } from "../lib/ui.js";
import { number, time, words } from "../lib/format.js";

const OPEN = ["queued", "running", "waiting"];

/** A feedback. @param {{params: {feedback_id: string}}} props */
export default function OneFeedbackPage({ params }) {
  const found = usePolled((signal) => get(path`/feedback/${params.feedback_id}`, {}, { signal }), (one) => OPEN.includes(one.status), [params.feedback_id]);
  return html`<${Page} title=${params.feedback_id} about="The text itself is not shown: what it says, without personal data, is its summary." back=${{ href: link("/feedback", { tab: "list" }), label: "Feedback" }}>
    <${Loaded} of=${found}>${(one) => html`<div class="columns">
      <div class="stack">${one.error && html`<${ErrorBox} error=${{ message: one.error, hint: "It stands among the dead letters, if it can be replayed." }} />`}
        <${Card} title="Summary">${one.analysis ? html`<p lang=${one.language}>${one.analysis.summary}</p>
          <div class="row"><${Badge} tone="info">${one.analysis.hashtag}<//>${one.analysis.ai_hashtag !== one.analysis.hashtag && html`<${Badge}>${one.analysis.ai_hashtag}<//>`}<${Badge}>${words(one.analysis.category)}<//></div>`
          : html`<p class="muted" role="status">${OPEN.includes(one.status) ? "It is analysed; this page shows it then." : "There is no analysis."}</p>`}<//>
        ${one.analysis?.contains_pii && html`<p class="note note-warn">Personal data was found, and left out of the summary: ${one.analysis.personal_data.map(words).join(", ")}.</p>`}</div>
      <${Card} title="About"><${Facts} items=${[
        ["Status", html`<${Status} value=${one.status} />`],
        ...(one.waiting_for ? [["Waits for", `${one.waiting_for}, until ${time(one.waiting_until)}`]] : []),
        ["Language", html`<a href=${link("/feedback", { tab: "list", language: one.language.split("-")[0] })}>${one.language}</a>`],
        ["Your name for it", one.task_id],
        ["Tokens", number(one.usage.total_tokens)],
        ["Came", html`<${Time} value=${one.created_at} />`],
        ["Changed", html`<${Time} value=${one.updated_at} />`],
      ]} /><//></div>`}<//>
  <//>`;
}
