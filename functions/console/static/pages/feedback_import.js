/** Import feedback: a CSV file, how far its analyses are, and what became of each row. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, newOnce, path, post } from "../lib/api.js";
import { fill, link, place, setQuery } from "../lib/router.js";
import { Badge, Button, ButtonLink, Card, ErrorBox, Field, Loaded, Page, Pager, Progress, Status, Table, usePolled } from "../lib/ui.js";
import { number, shorten, words } from "../lib/format.js";

/** Import a file, or, where the address has an import, show it. @param {{query: {import?: string}}} props */
export default function FeedbackImportPage({ query }) {
  const back = { href: link("/feedback", { tab: "list" }), label: "Feedback" };
  const again = query.import && html`<${ButtonLink} href=${link("/feedback-import")}>Import another file<//>`;
  return html`<${Page} title="Import feedback" about="Each row of a CSV file becomes a feedback of its own." back=${back} actions=${again}>
    ${query.import ? html`<${Import} key=${query.import} id=${query.import} />` : html`<${Upload} />`}<//>`;
}

function Upload() {
  const [csv, setCsv] = useState("");
  const [error, setError] = useState(null);
  const [once, setOnce] = useState(newOnce);
  const set = (text) => (setCsv(text), setOnce(newOnce()), setError(null));
  const read = async (event) => {
    const [file] = event.target.files;
    if (file) set(await file.text());
  };
  const send = async () => {
    try {
      const made = await post("/feedback/import", { csv }, { once });
      setQuery({ import: made.import_id });
    } catch (refused) {
      setError(refused);
    }
  };
  const rows = csv.split("\n").filter((line) => line.trim()).length - 1;
  return html`<${Card} title="The file">
    <${Field} label="CSV file">${(id) => html`<input id=${id} type="file" accept=".csv,text/csv" onChange=${read} />`}<//>
    <${Field} label="Or its text" hint="The first line names the columns: \`language\`, \`text\` and, if there is one, \`task_id\`." error=${error?.fields?.["body.csv"]}>${(id, described) => html`<textarea id=${id} class="code" aria-describedby=${described} rows="10" spellcheck=${false} placeholder=${"language,text\nen,The new search is quick."}
      value=${csv} onInput=${(event) => set(event.target.value)}></textarea>`}<//>
    <${ErrorBox} error=${error} />
    <div class="actions"><${Button} kind="primary" disabled=${rows < 1} onClick=${send}>Import<//>${rows > 0 && html`<span class="muted">about ${number(rows)} ${rows === 1 ? "row" : "rows"}</span>`}</div><//>`;
}

const COLUMNS = [
  { label: "Row", value: (row) => row.row },
  { label: "Status", value: (row) => (row.status ? html`<${Status} value=${row.status} />` : html`<${Badge} tone="bad">Refused<//>`) },
  { label: "Result", value: (row) => html`<${Result} row=${row} />`, wide: true },
  { label: "Hashtag", value: (row) => row.analysis?.hashtag ?? "–" },
  { label: "Category", value: (row) => words(row.analysis?.category) },
];

function Result({ row }) {
  if (row.fields) return html`${Object.entries(row.fields).map(([name, told]) => html`<div key=${name}><code>${name}</code> ${told}</div>`)}`;
  return shorten(row.analysis?.summary ?? row.error, 160);
}

function Import({ id }) {
  const { cursor } = place.value.query;
  const found = usePolled((signal) => get(path`/feedback/import/${id}`, { cursor, limit: 50 }, { signal }), (one) => one.finished + one.refused < one.rows, [id, cursor]);
  return html`<${Loaded} of=${found}>${(one) => {
    const ended = one.finished + one.refused;
    const counts = Object.entries(one.by_status).filter(([, count]) => count).map(([status, count]) => `${number(count)} ${words(status).toLowerCase()}`);
    return html`<${Card} title=${ended < one.rows ? "The rows are analysed" : "All rows have ended"}>
        <${Progress} label=${`${number(ended)} of ${number(one.rows)} rows have ended`} value=${one.rows ? ended / one.rows : 1} />
        <p class="muted">${[...counts, ...(one.refused ? [`${number(one.refused)} refused: correct them and import them again`] : [])].join(", ")}</p><//>
      <${Table} caption="Rows of the import" columns=${COLUMNS} rows=${one.items} rowKey=${(row) => String(row.row)} href=${(row) => row.feedback_id && link(fill("/feedback/:feedback_id", row))} />
      <${Pager} next=${one.next_cursor} />`;
  }}<//>`;
}
