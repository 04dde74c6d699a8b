/** Diffs on the page, and the choice between two states of one thing (412). */
import { html } from "./html.js";
import { Button, Dialog } from "./ui.js";
import { diffLines } from "./diff.js";

const SIGNS = { same: " ", removed: "−", added: "+" };
const SPOKEN = { removed: "removed: ", added: "added: " };

/** Two texts, line by line, what differs marked by sign and colour. @param {{before: string, after: string, label: string}} props */
export function Diff({ before, after, label }) {
  return html`<${DiffLines} label=${label} lines=${diffLines(before, after)} />`;
}

/** Lines of a diff that is made already. @param {{lines: import("./diff.js").DiffLine[], label: string}} props */
export function DiffLines({ lines, label }) {
  return html`<pre class="diff" role="region" aria-label=${label} tabindex="0">${lines.map((line, index) => html`<div key=${index} class=${`diff-${line.kind}`}><span aria-hidden="true">${SIGNS[line.kind]} </span>${SPOKEN[line.kind] && html`<span class="sr">${SPOKEN[line.kind]}</span>`}${line.text}</div>`)}</pre>`;
}

/**
 * Somebody else saved the same thing: keep mine, take theirs, or go on editing with both in sight.
 * @param {{what: string, mine: any, theirs: any, onMine: () => Promise<any>, onTheirs: () => any, onClose: () => void}} props
 *   `onMine` saves over the newer state; `onTheirs` loads it into the editor. Both states are texts or shown as JSON.
 */
export function MergeDialog({ what, mine, theirs, onMine, onTheirs, onClose }) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const close = (act) => async () => {
    await act();
    onClose();
  };
  return html`<${Dialog} title=${`${what} was changed meanwhile`} onClose=${onClose} wide>
    <div class="dialog-body">
      <p>Somebody saved another state while you were editing. Nothing of yours is lost.</p>
      <h3>From theirs (−) to yours (+)</h3>
      <${Diff} label="Difference between both states" before=${text(theirs)} after=${text(mine)} />
      <div class="side-by-side">
        <section aria-label="Yours"><h3>Yours</h3><pre tabindex="0">${text(mine)}</pre></section>
        <section aria-label="Theirs"><h3>Theirs</h3><pre tabindex="0">${text(theirs)}</pre></section>
      </div>
    </div>
    <footer><${Button} onClick=${onClose}>Keep editing<//><${Button} onClick=${close(onTheirs)}>Take theirs<//><${Button} kind="primary" onClick=${close(onMine)}>Keep mine<//></footer>
  <//>`;
}
