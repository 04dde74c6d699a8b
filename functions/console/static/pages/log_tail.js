/** The tenant's log as it arrives: a stream that is paused, goes on after the last line, and tells by how much it is late. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { events } from "../lib/api.js";
import { Button, Empty, ErrorBox, Table } from "../lib/ui.js";

const SHOWN = 200;
const FILTER = ["text", "level", "event", "request_id", "conversation_id"];

/** Lines with a further one at their beginning; one that came before changes nothing. @param {any[]} lines @param {any} line @returns {any[]} The newest alone, where they are many. */
export function addLine(lines, line) {
  return lines.some((one) => one.id === line.id) ? lines : [line, ...lines].slice(0, SHOWN);
}

/** What arrives, the newest first. @param {{query: Record<string, string>, columns: any[]}} props `query`: the filter of the address. */
export function FollowedLog({ query, columns }) {
  const filter = Object.fromEntries(FILTER.map((name) => [name, query[name]]));
  return html`<${Stream} key=${JSON.stringify(filter)} filter=${filter} columns=${columns} />`;
}

function Stream({ filter, columns }) {
  const [paused, setPaused] = useState(false);
  const { lines, delay, error, again } = useTail(filter, paused);
  const told = paused ? "Paused: what arrives meanwhile comes when you go on, back to an hour." : delay === null ? "Connecting…" : `Following. A line arrives within ${delay} s of being written.`;
  return html`<div class="row"><p role="status">${told}</p><span class="grow"></span><${Button} aria-pressed=${paused ? "true" : "false"} onClick=${() => setPaused(!paused)}>${paused ? "Go on" : "Pause"}<//></div>
    <${ErrorBox} error=${error} retry=${again} />
    <${Table} caption="Lines as they arrive" columns=${columns} rows=${lines} rowKey=${(line) => line.id}
      empty=${html`<${Empty} title="Nothing yet">Lines come as soon as the app writes some that fit the filter.<//>`} />
    ${lines.length === SHOWN && html`<p class="muted">These are the newest ${SHOWN}; the search has all.</p>`}`;
}

/** Follow the log until the page is left: streams end after some minutes, and the next one goes on after the last line. */
function useTail(filter, paused) {
  const [lines, setLines] = useState([]);
  const [delay, setDelay] = useState(null);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  const [reached] = useState({ id: null });
  useEffect(() => {
    if (paused) return undefined;
    const stop = new AbortController();
    const follow = async () => {
      while (!stop.signal.aborted) {
        const headers = reached.id ? { "Last-Event-ID": reached.id } : {};
        for await (const event of events("GET", "/logs/tail", { query: filter, headers, signal: stop.signal })) {
          reached.id = event.id ?? reached.id;
          if (event.event === "start") setDelay(event.data.delay_seconds);
          if (event.event === "line") setLines((before) => addLine(before, event.data));
        }
      }
    };
    follow().catch((failed) => stop.signal.aborted || setError(failed));
    return () => stop.abort();
  }, [paused, round]);
  const again = () => {
    setError(null);
    setRound((count) => count + 1);
  };
  return { lines, delay, error, again };
}
