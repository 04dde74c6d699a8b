/** One reasoning job: its steps as they end, the question for a person, its result and what it took. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { events, get, newOnce, path, post, remove } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { activeTenant, can } from "../lib/session.js";
import { Badge, Button, Card, Confirm, Empty, ErrorBox, Facts, Field, Loaded, Page, Status, Time, toast, useLoaded } from "../lib/ui.js";
import { number, time, words } from "../lib/format.js";

const OVER = ["succeeded", "failed", "cancelled"];

/** Whether nothing comes any more. @param {{status: string}} job */
export function isOver(job) {
  return OVER.includes(job.status);
}

/** A job after an event of its stream: a step that ended, a change, or the whole of it. @param {any} job @param {{event: string, data: any}} event @returns {any} */
export function applyEvent(job, { event, data }) {
  if (event === "done") return data;
  if (event === "step") return { ...job, steps: [...job.steps.filter((one) => one.number !== data.number), data].sort((one, other) => one.number - other.number) };
  return event === "status" ? { ...job, ...data } : job;
}

/** A job. @param {{params: {job_id: string}}} props */
export default function JobPage({ params }) {
  const where = path`/reasoning/jobs/${params.job_id}`;
  const found = useLoaded((signal) => get(where, {}, { signal }), [where]);
  return html`<${Page} title=${params.job_id} back=${{ href: link("/jobs"), label: "Reasoning jobs" }}>
    <${Loaded} of=${found}>${(job) => html`<${Followed} key=${where} first=${job} where=${where} />`}<//><//>`;
}

/** Follow a job until it is over; a stream that ends before goes on after the last event that came. */
function useJob(first, where) {
  const [job, setJob] = useState(first);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (isOver(job)) return undefined;
    const stop = new AbortController();
    const follow = async () => {
      let last = null;
      for (let now = job; !isOver(now) && !stop.signal.aborted; ) {
        const headers = last ? { "Last-Event-ID": last } : {};
        for await (const event of events("GET", where, { headers, signal: stop.signal })) {
          last = event.id ?? last;
          now = applyEvent(now, event);
          setJob(now);
        }
      }
    };
    follow().catch((failed) => stop.signal.aborted || setError(failed));
    return () => stop.abort();
  }, [where, round]);
  const again = () => {
    setError(null);
    setRound((count) => count + 1);
  };
  return { job, setJob, error, again };
}

function Followed({ first, where }) {
  const { job, setJob, error, again } = useJob(first, where);
  const [cancelling, setCancelling] = useState(false);
  const over = isOver(job);
  const cancel = async () => {
    await remove(where);
    toast("It is cancelled, or ends at its next step");
    setJob(await get(where));
  };
  return html`
    <div class="row" role="status"><${Status} value=${job.status} />${job.task_id && html`<${Badge}>${job.task_id}<//>`}
      ${job.cancel_requested && !over && html`<${Badge} tone="warn">ends at its next step<//>`}
      ${job.waiting_for && html`<span class="muted">waits for ${job.waiting_for}${job.waiting_until && `, until ${time(job.waiting_until)}`}</span>`}
      <span class="grow"></span>${!over && html`<${Button} kind="danger" onClick=${() => setCancelling(true)}>Cancel job…<//>`}</div>
    <${ErrorBox} error=${error} retry=${again} />
    ${job.waiting_step && html`<${Approval} job=${job} where=${where} onAnswered=${setJob} />`}
    ${job.error && html`<${ErrorBox} error=${{ message: job.error, hint: job.status === "failed" ? "Correct what it names, then submit it again." : "" }} />`}
    <div class="columns"><div class="stack">
      ${job.result && html`<${Card} title="Result"><p><strong>${job.result.summary}</strong></p><p class="text">${job.result.reason}</p><//>`}
      <${Card} title="Steps">
        ${job.steps.length === 0 && over && html`<${Empty} title="No step was finished" />`}
        <ol class="steps" aria-live="polite">${job.steps.map((step) => html`<li key=${step.number}><${Step} step=${step} open=${!job.result} /></li>`)}</ol>
        ${!over && html`<p class="muted" role="status">${job.waiting_step ? "It goes on when it is approved." : job.status === "running" ? "The next step is in work…" : "It goes on by itself; this page shows it."}</p>`}
      <//>
    </div><${About} job=${job} /></div>
    ${cancelling && html`<${Confirm} title=${`Cancel ${job.job_id}?`} action="Cancel job" onConfirm=${cancel} onClose=${() => setCancelling(false)}>
      <p>One that is in work ends at its next step; what was used until then is paid for.</p><//>`}`;
}

function Step({ step, open }) {
  return html`<details open=${open}><summary><strong>${words(step.name)}</strong> <span class="muted">${step.model ?? ""} ${number(step.usage.total_tokens)} tokens</span>
    ${step.finish_reason === "length" && html` <${Badge} tone="warn">cut off<//>`}</summary><p class="text">${step.text ?? ""}</p></details>`;
}

function Approval({ job, where, onAnswered }) {
  const [comment, setComment] = useState("");
  const [error, setError] = useState(null);
  const [once] = useState(newOnce);
  const answer = async (approved) => {
    setError(null);
    try {
      const body = { step: job.waiting_step, approved, ...(comment.trim() ? { comment: comment.trim() } : {}) };
      onAnswered(await post(`${where}/approve`, body, { once: `${once}-${approved}` }));
      toast(approved ? "Approved: the job goes on" : "Not approved: the job is cancelled");
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<${Card} title="It waits for your approval" about=${`Step “${words(job.waiting_step)}” is finished; read it below. Without an answer the job is given up.`}>
    <${Field} label="Comment" hint="May be left empty; it is kept with the job.">${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="2" value=${comment} onInput=${(event) => setComment(event.target.value)}></textarea>`}<//>
    <${ErrorBox} error=${error} />
    <div class="actions"><${Button} kind="primary" onClick=${() => answer(true)}>Approve<//><${Button} kind="danger" onClick=${() => answer(false)}>Refuse<//></div><//>`;
}

const LONGEST_NAME = 128; // a digest stands for a job's id in a longer one

function About({ job }) {
  const { usage } = job;
  const message = `${activeTenant.value}:${job.job_id}`; // under whose id its model calls are
  return html`<div class="stack"><${Card} title="Used"><${Facts} items=${[
      ["Tokens", number(usage.total_tokens)],
      ["Of prompts", number(usage.prompt_tokens)],
      ["Of answers", number(usage.completion_tokens)],
      ...(usage.reasoning_tokens ? [["Of it thought", number(usage.reasoning_tokens)]] : []),
      ...(job.prompt ? [["Prompt", html`<a href=${link(fill("/prompts/:name", job.prompt))}>${job.prompt.name} ${job.prompt.version}</a>`]] : []),
      ["Accepted", html`<${Time} value=${job.created_at} />`],
      ["Changed", html`<${Time} value=${job.updated_at} />`],
    ]} /><//>
    ${job.approvals.length > 0 && html`<${Card} title="Approvals">${job.approvals.map((one) => html`<div key=${one.at}><p><${Badge} tone=${one.approved ? "good" : "bad"}>${one.approved ? "Approved" : "Refused"}<//> ${words(one.step)}</p>
      <p class="muted">${one.by}, <${Time} value=${one.at} /></p>${one.comment && html`<p>${one.comment}</p>`}</div>`)}<//>`}
    ${can("tenant_admin") && message.length <= LONGEST_NAME && html`<a href=${link(fill("/calls/:request_id", { request_id: message }))}>Its model calls over time</a>`}</div>`;
}
