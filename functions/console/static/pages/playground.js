/** Playground: talk with a bot as it streams, with tokens and cost; or with two versions or models side by side. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { events, get, newOnce, path } from "../lib/api.js";
import { place, setQuery } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Badge, Button, Card, Empty, ErrorBox, Field, Loaded, Page, useLoaded } from "../lib/ui.js";
import { duration, money, number } from "../lib/format.js";
import { valueOf } from "../lib/template.js";

/** The playground. */
export default function PlaygroundPage() {
  const known = useLoaded(loadChoices, []);
  return html`<${Page} title="Playground" about="What is said here is a conversation like any other: it is stored, metered and paid for.">
    <${Loaded} of=${known}>${(choices) => html`<${Playground} choices=${choices} />`}<//>
  <//>`;
}

async function loadChoices(signal) {
  const [own, global, models] = await Promise.all([
    get("/bots", { limit: 100 }, { signal }),
    get("/bots", { limit: 100, scope: "global" }, { signal }),
    get("/models", {}, { signal }),
  ]);
  const bots = new Map([...global.items, ...own.items].map((bot) => [bot.bot_id, bot]));
  return { bots: [...bots.values()], models: models.data.map((one) => one.id).filter((id) => !id.startsWith("bot/")) };
}

function Playground({ choices }) {
  const { query } = place.value;
  const bot = choices.bots.find((one) => one.bot_id === query.bot) ?? choices.bots[0];
  const sides = query.compare ? ["a", "b"] : ["a"];
  const [message, setMessage] = useState("");
  const [variables, setVariables] = useState({});
  const [turn, setTurn] = useState(null);
  const [round, setRound] = useState(0);
  const [busy, setBusy] = useState(new Set());
  const needed = useLoaded((signal) => variablesOfBot(bot, signal), [bot?.bot_id]);
  if (!bot) return html`<${Empty} title="No bot to talk with">An administrator makes one under Bots.<//>`;
  const say = () => {
    if (!message.trim() || busy.size) return;
    setTurn({ message, variables, once: newOnce() });
    setMessage("");
  };
  const onKeyDown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say();
  };
  const mark = (side, working) => setBusy((before) => {
    const after = new Set(before);
    if (working) after.add(side);
    else after.delete(side);
    return after;
  });
  const restart = () => {
    setTurn(null);
    setRound(round + 1);
  };
  return html`
    <div class="row">
      <${Field} label="Bot">${(id) => html`<select id=${id} onChange=${(event) => (setQuery({ bot: event.target.value }, { replace: true }), restart())}>
        ${choices.bots.map((one) => html`<option key=${one.bot_id} value=${one.bot_id} selected=${one === bot}>${one.bot_id}</option>`)}</select>`}<//>
      ${can("tenant_admin") && html`<label class="check"><input type="checkbox" checked=${sides.length > 1} onChange=${(event) => setQuery({ compare: event.target.checked ? "1" : "" }, { replace: true })} /> Two side by side</label>`}
      <span class="grow"></span><${Button} onClick=${restart}>New conversation<//>
    </div>
    ${needed.data?.length > 0 && html`<${Card} title="Values of the prompt's variables"><div class="side-by-side">${needed.data.map(({ name, hint }) => html`<${Field} key=${name} label=${name} hint=${hint}>${(id, described) => html`<input id=${id} aria-describedby=${described} value=${valueOf(variables, name) ?? ""}
      onInput=${(event) => setVariables({ ...variables, [name]: event.target.value })} />`}<//>`)}</div><//>`}
    <div class=${sides.length > 1 ? "side-by-side" : "stack"}>
      ${sides.map((side) => html`<${Talk} key=${`${bot.bot_id}/${side}/${round}`} side=${side} alone=${sides.length === 1} bot=${bot} models=${choices.models} turn=${turn} onBusy=${(working) => mark(side, working)} />`)}
    </div>
    <${Card}><${Field} label="Message" hint="Enter sends, Shift-Enter begins a line.">${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="3" value=${message} onInput=${(event) => setMessage(event.target.value)} onKeyDown=${onKeyDown}></textarea>`}<//>
      <div class="actions"><${Button} kind="primary" disabled=${!message.trim() || busy.size > 0} onClick=${say}>Send<//></div><//>`;
}

/** The variables of a bot's prompt that a caller has to give. */
async function variablesOfBot(bot, signal) {
  const reference = bot?.config.prompt;
  if (!reference) return [];
  const prompt = await get(path`/prompts/${reference.name}`, { version: reference.version, label: reference.label }, { signal });
  return prompt.variables.map((name) => ({ name, hint: prompt.declared_variables[name]?.description ?? (prompt.declared_variables[name]?.default != null ? "Has a default." : undefined) }));
}

function Talk({ side, alone, bot, models, turn, onBusy }) {
  const [said, setSaid] = useState([]);
  const [conversation, setConversation] = useState(null);
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const [overrides, setOverrides] = useState({});
  const stop = useRef(null);
  const sums = said.reduce((sum, one) => ({ tokens: sum.tokens + (one.reply?.usage.total_tokens ?? 0), cost: sum.cost + Number(one.reply?.cost ?? 0) }), { tokens: 0, cost: 0 });
  const currency = said.find((one) => one.reply?.currency)?.reply.currency;

  useEffect(() => () => stop.current?.abort(), []);
  useEffect(() => {
    if (turn) ask(turn);
  }, [turn]);

  const ask = async ({ message, variables, once }) => {
    stop.current = new AbortController();
    onBusy(true);
    setError(null);
    setSaid((before) => [...before, { message }]);
    setAnswer("");
    const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ""));
    const tried = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== "" && value != null));
    const body = { message, stream: true, ...(conversation ? { conversation_id: conversation } : {}), ...(Object.keys(given).length ? { variables: given } : {}), ...(Object.keys(tried).length ? { overrides: tried } : {}) };
    try {
      for await (const event of events("POST", path`/bots/${bot.bot_id}/chat`, { body, once: `${once}-${side}`, signal: stop.current.signal })) {
        if (event.event === "token") setAnswer((text) => text + event.data.text);
        if (event.event === "done") {
          setConversation(event.data.conversation_id);
          setSaid((before) => [...before, { reply: event.data }]);
        }
      }
    } catch (failed) {
      if (failed.name !== "AbortError") setError(failed);
    }
    setAnswer(null);
    onBusy(false);
  };

  return html`<${Card} title=${alone ? bot.bot_id : `${bot.bot_id}, ${side === "a" ? "left" : "right"}`} actions=${answer !== null && html`<${Button} onClick=${() => stop.current.abort()}>Stop<//>`}>
    ${can("tenant_admin") && html`<${Overrides} bot=${bot} models=${models} value=${overrides} onChange=${setOverrides} open=${!alone} />`}
    <div class="talk" role="log" aria-label=${`Conversation${alone ? "" : side === "a" ? ", left" : ", right"}`} tabindex="0">
      ${said.length === 0 && html`<p class="muted">Say something below.</p>`}
      ${said.map((one, at) => (one.reply ? html`<${Reply} key=${at} reply=${one.reply} />` : html`<div key=${at} class="said said-mine"><span class="sr">You: </span>${one.message}</div>`))}
      ${answer !== null && html`<div class="said" aria-busy="true">${answer || "…"}</div>`}
    </div>
    <${ErrorBox} error=${error} />
    ${sums.tokens > 0 && html`<p class="muted" role="status">${number(sums.tokens)} tokens, ${money(sums.cost, currency)} in this conversation</p>`}
  <//>`;
}

function Reply({ reply }) {
  return html`<div class="stack"><div class="said"><span class="sr">Bot: </span>${reply.response}</div>
    <div class="row muted"><${Badge}>${reply.model}<//>${reply.prompt && html`<${Badge}>${reply.prompt.name} ${reply.prompt.version}<//>`}
      <span>${number(reply.usage.prompt_tokens)} + ${number(reply.usage.completion_tokens)} tokens</span><span>${money(reply.cost, reply.currency)}</span>
      <span>${duration(reply.latency_ms)}${reply.time_to_first_token_ms != null ? `, first word after ${duration(reply.time_to_first_token_ms)}` : ""}</span></div></div>`;
}

/** What is tried out in place of the bot's own, for this side alone. */
function Overrides({ bot, models, value, onChange, open }) {
  const set = (changes) => onChange({ ...value, ...changes });
  const numeric = (text) => (text === "" ? null : Number(text));
  return html`<details open=${open}><summary>Try out otherwise</summary><div class="side-by-side">
    <${Field} label="Model">${(id) => html`<select id=${id} onChange=${(event) => set({ model: event.target.value })}><option value="" selected=${!value.model}>The bot's: ${bot.config.llm.model ?? "default"}</option>
      ${models.map((one) => html`<option key=${one} value=${one} selected=${one === value.model}>${one}</option>`)}</select>`}<//>
    ${bot.config.prompt && html`<${Field} label="Version of the prompt">${(id) => html`<input id=${id} type="number" min="1" value=${value.prompt_version ?? ""} onInput=${(event) => set({ prompt_version: numeric(event.target.value) })} />`}<//>`}
    <${Field} label="Temperature">${(id) => html`<input id=${id} type="number" min="0" max="2" step="0.1" value=${value.temperature ?? ""} onInput=${(event) => set({ temperature: numeric(event.target.value) })} />`}<//>
  </div></details>`;
}
