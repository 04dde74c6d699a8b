/** Differences between texts, line by line. */

const MOST_CELLS = 4_000_000;

/**
 * @typedef {object} DiffLine
 * @property {"same"|"removed"|"added"} kind
 * @property {string} text
 */

/** The lines of two texts: what is the same, what was removed and added. @param {string} before @param {string} after @returns {DiffLine[]} */
export function diffLines(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let [start, endA, endB] = [0, a.length, b.length];
  while (start < endA && start < endB && a[start] === b[start]) start += 1;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) [endA, endB] = [endA - 1, endB - 1];
  const same = (text) => ({ kind: "same", text });
  return [
    ...a.slice(0, start).map(same),
    ...diffMiddle(a.slice(start, endA), b.slice(start, endB)),
    ...a.slice(endA).map(same),
  ];
}

function diffMiddle(a, b) {
  const removed = (text) => ({ kind: "removed", text });
  const added = (text) => ({ kind: "added", text });
  if (a.length * b.length > MOST_CELLS) return [...a.map(removed), ...b.map(added)];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] =
        a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) [i, j] = [i + 1, (found.push({ kind: "same", text: a[i] }), j + 1)];
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) found.push(removed(a[i++]));
    else found.push(added(b[j++]));
  }
  return [...found, ...a.slice(i).map(removed), ...b.slice(j).map(added)];
}
