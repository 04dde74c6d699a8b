/** One conversation: its turns, rated, gone back to, copied and exported. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, patch, path, post, put, remove, request } from "../lib/api.js";
import { saveFile } from "../lib/files.js";
import { MergeDialog } from "../lib/merge.js";
import { fill, link, navigate } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, ErrorBox, Facts, Field, Loaded, Page, Pager, Status, Time, toast, useLoaded } from "../lib/ui.js";
import { duration, money, number } from "../lib/format.js";
import { unlessChanged } from "./changed.js";

const PATTERN = "/bots/:bot_id/conversations/:conversation_id";

/** A conversation. @param {{params: {bot_id: string, conversation_id: string}, query: {cursor?: string}}} props */
export default function ConversationPage({ params, query }) {
  const { bot_id: bot, conversation_id: id } = params;
  const where = path`/bots/${bot}/conversations/${id}`;
  const found = useLoaded((signal) => request("GET", where, { query: { cursor: query.cursor, limit: 50 }, signal }), [where, query.cursor]);
  const back = { href: link("/conversations", { bot }), label: `Conversations with ${bot}` };
  if (found.error && !found.data) return html`<${Page} title=${id} back=${back}><${Loaded} of=${found} /><//>`;
  return html`<${Loaded} of=${found}>${({ data, etag }) => html`<${Shown} key=${where} conversation=${data} etag=${data.etag ?? etag} where=${where} bot=${bot} back=${back} reload=${found.reload} />`}<//>`;
}

function Shown({ conversation, etag, where, bot, back, reload }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const turns = conversation.items;
  const visible = turns.filter((turn) => turn.status === "done");
  const title = conversation.title ?? conversation.conversation_id;

  /** Do what changes this state; where it is another one by now, both are shown, and one is chosen. */
  const change = async (act, mine, said, after = reload) => {
    try {
      await act(etag);
      toast(said);
      after();
    } catch (refused) {
      if (!refused.isConflict) throw refused;
      const newer = await request("GET", where, { query: { limit: 50 } });
      const again = async () => (await act(newer.data.etag ?? newer.etag), toast(said), after());
      setOpen({ merge: { mine, theirs: transcript(newer.data.items), again } });
    }
  };
  const rewind = (turn) => change((state) => post(`${where}/rewind`, { turn: turn.turn }, { etag: state, once: newOnce() }), transcript(turns.filter((one) => one.turn <= turn.turn)), `Back at turn ${turn.turn}`);
  const undo = () => change((state) => post(`${where}/undo`, undefined, { etag: state, once: newOnce() }), transcript(turns.slice(0, -1)), "The last turn is undone");
  const answerAgain = (variables) => change((state) => post(`${where}/regenerate`, { variables }, { etag: state, once: newOnce() }), transcript(turns), "The last message is answered again");
  const tryAgain = async () => {
    try {
      await answerAgain({});
    } catch (refused) {
      const names = missingVariables(refused);
      if (!names.length) throw refused;
      setOpen({ fill: names });
    }
  };
  const take = () => change((state) => remove(where, { etag: state }), "(deleted)", "The conversation is deleted", () => navigate("/conversations", { bot }));
  const fork = async (turn) => {
    const made = await post(`${where}/fork`, turn ? { turn: turn.turn } : {}, { once: newOnce() });
    toast("Copied: this is the copy");
    navigate(fill(PATTERN, { bot_id: bot, conversation_id: made.conversation_id }));
  };
  const actions = html`<${Button} onClick=${() => setOpen({ rename: true })}>Rename<//><${Button} onClick=${() => fork(null)}>Copy<//><${Button} onClick=${() => exportAll(where, conversation.conversation_id)}>Export<//>
    <${Button} disabled=${!visible.length} onClick=${undo}>Undo last turn<//><${Button} kind="danger" onClick=${() => setOpen({ remove: true })}>Delete…<//>`;
  return html`<${Page} title=${title} back=${back} actions=${actions}>
    <div class="columns"><div class="stack">
      ${turns.length === 0 ? html`<${Empty} title="No turns">They were undone, or their time to be kept is over.<//>`
        : html`<div class="talk" role="log" aria-label="Turns" tabindex="0">${turns.map((turn) => html`<${Turn} key=${turn.turn} turn=${turn} where=${where} isLast=${turn === turns.at(-1) && !conversation.next_cursor} onChanged=${reload} onRewind=${() => rewind(turn)} onAgain=${tryAgain} onFork=${() => fork(turn)} onComment=${() => setOpen({ comment: turn })} />`)}</div>`}
      <${Pager} next=${conversation.next_cursor} />
    </div>
    <${About} conversation=${conversation} bot=${bot} shown=${turns} /></div>
    ${open?.rename && html`<${Rename} where=${where} before=${conversation.title} etag=${etag} onClose=${close} onDone=${reload} />`}
    ${open?.comment && html`<${Comment} where=${where} turn=${open.comment} onClose=${close} onDone=${reload} />`}
    ${open?.merge && html`<${MergeDialog} what="The conversation" ...${open.merge} onMine=${open.merge.again} onTheirs=${reload} onClose=${close} />`}
    ${open?.fill && html`<${FillIn} names=${open.fill} onSend=${answerAgain} onClose=${() => setOpen((now) => (now?.fill ? null : now))} />`}
    ${open?.remove && html`<${Confirm} title="Delete this conversation?" action="Delete" onClose=${() => setOpen((now) => (now?.remove ? null : now))} onConfirm=${take}>
      <p>All ${number(conversation.turns)} turns go, those that were undone too. This cannot be undone.</p><//>`}
  <//>`;
}

function About({ conversation, bot, shown }) {
  const tokens = shown.reduce((sum, turn) => sum + turn.usage.total_tokens, 0);
  const cost = shown.reduce((sum, turn) => sum + Number(turn.cost ?? 0), 0);
  const origin = conversation.forked_from;
  return html`<${Card} title="About"><${Facts} items=${[
    ["Bot", html`<a href=${link(fill("/bots/:bot_id", { bot_id: bot }))}>${bot}</a>`],
    ["User", conversation.user_id],
    ["Begun", html`<${Time} value=${conversation.created_at} />`],
    ["Gone on", html`<${Time} value=${conversation.updated_at} />`],
    ["Turns here", number(shown.length)],
    ["Tokens here", number(tokens)],
    ["Cost here", money(cost, shown.find((turn) => turn.currency)?.currency)],
    ["Id", html`<code>${conversation.conversation_id}</code>`],
    ...(origin ? [["Copied from", html`<a href=${link(fill(PATTERN, { bot_id: bot, conversation_id: origin.conversation_id }))}>${origin.conversation_id}</a>, turn ${origin.turn}`]] : []),
    ...(can("tenant_admin") ? [["Model calls", html`<a href=${link("/calls", { conversation_id: conversation.conversation_id })}>of this conversation</a>`]] : []),
  ]} /><//>`;
}

function Turn({ turn, where, isLast, onChanged, onRewind, onAgain, onFork, onComment }) {
  const rated = turn.rating?.rating;
  const rate = async (rating) => {
    const send = () => put(`${where}/turns/${turn.turn}/rating`, { rating, comment: turn.rating?.comment ?? null }, { etag: turn.etag });
    if (await unlessChanged(`Turn ${turn.turn}`, send, onChanged)) toast(`Turn ${turn.turn} is rated`);
    onChanged();
  };
  const judge = (rating, name) => html`<${Button} kind="link" aria-pressed=${rated === rating ? "true" : "false"} aria-label=${`${name}: rate turn ${turn.turn}`} onClick=${() => rate(rating)}>${name}<//>`;
  return html`<div class="stack" role="group" aria-label=${`Turn ${turn.turn}`}>
    <div class="said said-mine"><span class="sr">User: </span>${turn.message}</div>
    ${turn.response != null && html`<div class="said"><span class="sr">Bot: </span>${turn.response}</div>`}
    <div class="row muted"><span>${turn.turn}</span>${turn.status !== "done" && html`<${Status} value=${turn.status} />`}
      ${turn.model && html`<${Badge}>${turn.model}<//>`}${turn.prompt && html`<a href=${link(fill("/prompts/:name", turn.prompt))}>${turn.prompt.name} ${turn.prompt.version}</a>`}
      <span>${number(turn.usage.total_tokens)} tokens</span><span>${money(turn.cost, turn.currency)}</span><span>${duration(turn.latency_ms)}</span><${Time} value=${turn.created_at} />
      ${turn.finish_reason === "length" && html`<${Badge} tone="warn">cut off<//>`}</div>
    ${turn.status === "done" && html`<div class="row">${judge("up", "Good")}${judge("down", "Bad")}
      ${rated && html`<${Button} kind="link" aria-label=${`${turn.rating.comment ? "Change why" : "Say why"}, turn ${turn.turn}`} onClick=${onComment}>${turn.rating.comment ? "Change why" : "Say why"}<//>`}
      ${!isLast && html`<${Button} kind="link" aria-label=${`Go back to here, turn ${turn.turn}`} onClick=${onRewind}>Go back to here<//>`}
      ${isLast && html`<${Button} kind="link" aria-label=${`Answer again, turn ${turn.turn}`} onClick=${onAgain}>Answer again<//>`}
      <${Button} kind="link" aria-label=${`Copy up to here, turn ${turn.turn}`} onClick=${onFork}>Copy up to here<//></div>`}
    ${turn.rating?.comment && html`<p class=${`note${rated === "down" ? " note-warn" : ""}`}>${turn.rating.comment}</p>`}
  </div>`;
}

function Rename({ where, before, etag, onClose, onDone }) {
  const [title, setTitle] = useState(before ?? "");
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const save = async (state) => {
    try {
      await patch(where, { title: title.trim() || null }, { etag: state });
      toast("The title is saved");
      onDone();
      onClose();
    } catch (refused) {
      if (!refused.isConflict) return setError(refused);
      const newer = await request("GET", where, { query: { limit: 1 } });
      setTheirs({ title: newer.data.title ?? "", etag: newer.data.etag ?? newer.etag });
    }
    return undefined;
  };
  if (theirs) return html`<${MergeDialog} what="The conversation" mine=${title} theirs=${theirs.title} onMine=${() => save(theirs.etag)} onTheirs=${() => (onDone(), onClose())} onClose=${() => setTheirs(null)} />`;
  return html`<${Dialog} title="Rename" onClose=${onClose}><div class="dialog-body">
      <${Field} label="Title" hint="For people; empty takes it away." error=${error?.fields["body.title"]}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${title} onInput=${(event) => setTitle(event.target.value)} />`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${() => save(etag)}>Save title<//></footer><//>`;
}

function Comment({ where, turn, onClose, onDone }) {
  const [comment, setComment] = useState(turn.rating.comment ?? "");
  const [error, setError] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const save = async (state) => {
    try {
      await put(`${where}/turns/${turn.turn}/rating`, { rating: turn.rating.rating, comment: comment.trim() || null }, { etag: state });
      onDone();
      onClose();
    } catch (refused) {
      if (!refused.isConflict) return setError(refused);
      const { items } = await get(where, { cursor: turn.turn > 1 ? turn.turn - 1 : undefined, limit: 1 });
      const newer = items.find((one) => one.turn === turn.turn);
      if (newer) setTheirs(newer);
      else setError(refused);
    }
    return undefined;
  };
  if (theirs) return html`<${MergeDialog} what=${`The rating of turn ${turn.turn}`} mine=${said({ rating: turn.rating.rating, comment })} theirs=${said(theirs.rating)} onMine=${() => save(theirs.etag)} onTheirs=${() => (onDone(), onClose())} onClose=${() => setTheirs(null)} />`;
  return html`<${Dialog} title=${`Why is turn ${turn.turn} ${turn.rating.rating === "up" ? "good" : "bad"}?`} onClose=${onClose}><div class="dialog-body">
      <${Field} label="In your words" error=${error?.fields["body.comment"]}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="4" maxlength="2000" value=${comment} onInput=${(event) => setComment(event.target.value)}></textarea>`}<//>
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${() => save(turn.etag)}>Save<//></footer><//>`;
}

function said(rating) {
  return rating ? `${rating.rating === "up" ? "Good" : "Bad"}\n${rating.comment ?? ""}` : "Not rated";
}

/** The names of the prompt's variables that a refused request did not give. @param {any} refused @returns {string[]} */
export function missingVariables(refused) {
  return refused.status === 422 ? (refused.detail.missing ?? []) : [];
}

/** Asks for what the bot's prompt needs: a conversation does not keep the values of its turns' variables. */
function FillIn({ names, onSend, onClose }) {
  const [values, setValues] = useState(() => Object.fromEntries(names.map((name) => [name, ""])));
  const [error, setError] = useState(null);
  const send = async () => {
    setError(null);
    try {
      await onSend(values);
      onClose();
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<${Dialog} title="Answer again" onClose=${onClose}><div class="dialog-body">
      <p>The bot's prompt has variables, whose values are not kept with the conversation.</p>
      ${names.map((name) => html`<${Field} key=${name} label=${name}>${(id) => html`<input id=${id} value=${values[name]} onInput=${(event) => setValues({ ...values, [name]: event.target.value })} />`}<//>`)}
      <${ErrorBox} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" onClick=${send}>Answer again<//></footer><//>`;
}

/** All of a conversation, those turns too that were undone, as a file. */
async function exportAll(where, id) {
  let whole = null;
  for (let cursor; ; ) {
    const page = await get(`${where}/export`, { cursor, limit: 100 });
    whole = whole ? { ...whole, items: [...whole.items, ...page.items] } : page;
    cursor = page.next_cursor;
    if (!cursor) break;
  }
  saveFile(`${id}.json`, "application/json", JSON.stringify({ ...whole, next_cursor: null }, null, 2));
}

function transcript(turns) {
  return turns.map((turn) => `${turn.turn}. ${turn.message}\n   ${turn.response ?? ""}`).join("\n");
}
