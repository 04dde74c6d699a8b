/** Dead letters: messages that nobody could handle, with why; replayed one by one, as picked or all of a filter, or deleted. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, path, post, remove } from "../lib/api.js";
import { fill, link } from "../lib/router.js";
import { activeTenant, can } from "../lib/session.js";
import { Badge, Button, Confirm, Dialog, Empty, ErrorBox, List, Page, Progress, Time, toast } from "../lib/ui.js";
import { number } from "../lib/format.js";
import { timesOf } from "./calls.js";

const QUEUES = [["reasoner-in", "Reasoning jobs"], ["feedback-form-in", "Feedback"], ["responses-in", "Results"]];
const FILTERS = [
  { name: "queue", label: "Queue", kind: "select", choices: QUEUES },
  { name: "reason", label: "Reason", placeholder: "DeliveriesExhaustedError" },
  { name: "to", label: "Kept until", kind: "date" },
];
const WHOSE = { name: "whose", label: "Whose", kind: "select", any: "The tenant's", choices: [["platform", "Of no active tenant"]] };
const WHY = {
  DeliveriesExhaustedError: "Each of its deliveries failed. Replay it once what was down is up.",
  ValidationError: "Fields are at fault. Send it again as it should be, and delete this one.",
  MalformedRequestError: "It is no JSON. Send it again as it should be, and delete this one.",
  UnboundBodyError: "Its body is of a kind that cannot be read. Send it as text, and delete this one.",
};

/** The list of dead letters. @param {{query: Record<string, string>}} props */
export default function DeadLettersPage({ query }) {
  const [open, setOpen] = useState(null);
  const [round, setRound] = useState(0);
  const [picked, setPicked] = useState(new Map());
  const ofPlatform = can("admin") && (query.whose === "platform" || !activeTenant.value);
  const whose = ofPlatform ? { tenant: null } : {};
  const pick = (letter, on) => {
    const next = new Map(picked);
    if (on) next.set(letter.id, letter);
    else next.delete(letter.id);
    setPicked(next);
  };
  const done = (letter) => {
    setOpen(null);
    if (letter) pick(letter, false);
    else setPicked(new Map());
    setRound(round + 1);
  };
  const close = (worked) => (worked ? done() : setOpen(null));
  const columns = [
    { label: "Pick", value: (letter) => html`<input type="checkbox" disabled=${letter.is_cut} aria-label=${`Pick ${letter.id}`} checked=${picked.has(letter.id)} onChange=${(event) => pick(letter, event.target.checked)} />` },
    { label: "Queue", value: (letter) => html`<span class="nowrap">${queueOf(letter.queue)}</span>` },
    { label: "Why", value: (letter) => html`<${Why} letter=${letter} />`, wide: true },
    { label: "Job", value: (letter) => html`<${Job} letter=${letter} linked=${!ofPlatform} />` },
    ...(ofPlatform ? [{ label: "Tenant it names", value: (letter) => letter.tenant_id ?? "none" }] : []),
    { label: "Kept", value: (letter) => html`<${Time} value=${letter.quarantined_at} />` },
    { label: "Change", value: (letter) => html`<span class="row"><${Replay} letter=${letter} whose=${whose} onDone=${() => done(letter)} />
      <${Button} kind="link" aria-label=${`Delete ${letter.id}`} onClick=${() => setOpen({ remove: letter })}>Delete<//></span>` },
  ];
  const actions = html`${picked.size > 0 && html`<${Button} kind="primary" onClick=${() => setOpen({ picked: [...picked.values()] })}>Replay the ${number(picked.size)} picked…<//>`}
    <${Button} onClick=${() => setOpen({ all: true })}>Replay all of these…<//>`;
  const selection = { queue: query.queue, reason: query.reason, before: timesOf(query).to };
  const load = ({ whose: _, from: __, ...asked }, signal) => get("/dead-letters", { ...asked, to: timesOf(asked).to }, { ...whose, signal });
  return html`<${Page} title="Dead letters" about=${ofPlatform ? "Messages that name no active tenant, and that nobody could handle." : "Messages that were refused for good, or that nobody could handle in five deliveries."} actions=${actions}>
    <${List} caption="Dead letters" filters=${can("admin") && activeTenant.value ? [WHOSE, ...FILTERS] : FILTERS} columns=${columns} needs=${[ofPlatform, round]} rowKey=${(letter) => letter.id} load=${load}
      empty=${html`<${Empty} title="No dead letters">Every message found somebody who could handle it.<//>`} />
    ${open?.remove && html`<${Confirm} title="Delete this dead letter?" action="Delete" onClose=${() => done(open.remove)}
      onConfirm=${async () => (await remove(path`/dead-letters/${open.remove.id}`, whose), toast("The dead letter is deleted"))}>
      <p>Its message is gone for good; its job stays as it is. <code>${open.remove.id}</code></p><//>`}
    ${open?.all && html`<${ReplayMany} action="Replay all" about=${aboutAll(selection)} next=${pageOf(selection, whose)} onClose=${close} />`}
    ${open?.picked && html`<${ReplayMany} action="Replay picked" about=${`Those that you picked (${number(open.picked.length)}) come on their queues again.`} next=${oneOf(open.picked, whose)} onClose=${close} />`}
  <//>`;
}

function Why({ letter }) {
  const fields = Object.entries(letter.fields);
  return html`<div><code>${letter.reason}</code> ${letter.is_cut && html`<${Badge} tone="warn">too large to be replayed<//>`}
    ${fields.map(([name, told]) => html`<div key=${name}><code>${name}</code> ${told}</div>`)}
    <div class="muted">${WHY[letter.reason] ?? "Look at the log for its job, correct what is wrong, then replay it."}</div></div>`;
}

function Job({ letter, linked }) {
  if (!letter.job_id) return html`<span class="muted">none</span>`;
  const pattern = linked && { "reasoner-in": "/jobs/:job_id", "feedback-form-in": "/feedback/:job_id" }[letter.queue];
  return pattern ? html`<a href=${link(fill(pattern, letter))}>${letter.job_id}</a>` : letter.job_id;
}

function Replay({ letter, whose, onDone }) {
  const replay = async () => {
    await post(path`/dead-letters/${letter.id}/replay`, undefined, { ...whose, once: newOnce() });
    toast("Its message is on its queue again");
    onDone();
  };
  return html`<${Button} kind="link" disabled=${letter.is_cut} aria-label=${`Replay ${letter.id}`} onClick=${replay}>Replay<//>`;
}

function queueOf(name) {
  return new Map(QUEUES).get(name) ?? name;
}

function aboutAll(selection) {
  const named = [selection.queue && queueOf(selection.queue), selection.reason].filter(Boolean).join(", ");
  return `${named ? `All that the filter finds (${named})` : "All of the list"} come on their queues again.`;
}

/** Replays page by page what a filter finds; a page begins at its cursor. @param {Record<string, string|undefined>} selection @param {{tenant?: null}} whose */
function pageOf(selection, whose) {
  const chosen = Object.fromEntries(Object.entries(selection).filter(([, value]) => value));
  return (cursor, signal) => post("/dead-letters/replay", { ...chosen, ...(cursor ? { cursor } : {}) }, { ...whose, once: newOnce(), signal });
}

/** Replays one by one what was picked, as a page of one each; the cursor is a place among them. @param {{id: string}[]} letters @param {{tenant?: null}} whose */
export function oneOf(letters, whose) {
  return async (cursor, signal) => {
    const at = cursor ?? 0;
    const next_cursor = at + 1 < letters.length ? at + 1 : null;
    const { id } = letters[at];
    try {
      return { replayed: [await post(path`/dead-letters/${id}/replay`, undefined, { ...whose, once: newOnce(), signal })], refused: [], next_cursor };
    } catch (error) {
      if (error.status !== 404 && error.status !== 409) throw error; // a budget that is used up ends it
      return { replayed: [], refused: [{ id, error: error.code, message: error.message }], next_cursor };
    }
  };
}

/** Replays one page after the other, until none is left or somebody stops it. @param {{about: string, action: string, next: (cursor: any, signal: AbortSignal) => Promise<any>, onClose: (worked: boolean) => void}} props */
function ReplayMany({ about, action, next, onClose }) {
  const [work, setWork] = useState(null);
  const [error, setError] = useState(null);
  const [stop] = useState(() => new AbortController());
  const close = () => {
    stop.abort();
    onClose(work !== null);
  };
  const run = async () => {
    setError(null);
    let { cursor, replayed, refused } = work ?? { cursor: null, replayed: 0, refused: [] };
    try {
      do {
        setWork({ cursor, replayed, refused, running: true });
        const page = await next(cursor, stop.signal);
        [cursor, replayed, refused] = [page.next_cursor, replayed + page.replayed.length, [...refused, ...page.refused]];
      } while (cursor);
      setWork({ replayed, refused, isOver: true });
    } catch (failed) {
      if (stop.signal.aborted) return;
      setWork({ cursor, replayed, refused });
      setError(failed);
    }
  };
  return html`<${Dialog} title="Replay dead letters" onClose=${close}><div class="dialog-body">
      <p>${about} Each takes from the budget as a new message does; those that cannot be replayed stay.</p>
      ${work?.running && html`<${Progress} label=${`${number(work.replayed)} replayed, ${number(work.refused.length)} stay`} />`}
      ${work && !work.running && html`<p role="status"><strong>${work.isOver ? "Done" : "Stopped"}:</strong> ${number(work.replayed)} replayed, ${number(work.refused.length)} stay.</p>`}
      ${work?.refused.length > 0 && html`<ul>${work.refused.slice(0, 20).map((one) => html`<li key=${one.id}><code>${one.error}</code> ${one.message}</li>`)}</ul>`}
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${close}>${work?.isOver ? "Close" : "Cancel"}<//>${!work?.isOver && html`<${Button} kind="primary" busy=${work?.running} onClick=${run}>${error ? "Go on" : action}<//>`}</footer><//>`;
}
