/** Files that the page makes: downloads, and CSV as spreadsheets read it. */

/** Let the browser save a text as a file. @param {string} name @param {string} type Such as "text/csv". @param {string} text */
export function saveFile(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

/** Rows as CSV (RFC 4180), the names of the columns first. @param {string[]} names @param {any[]} rows Objects that have these names. @returns {string} */
export function toCsv(names, rows) {
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((cells) => `${cells.map(quote).join(",")}\r\n`).join("");
}

/** A text that begins as a formula would be calculated by a spreadsheet: an apostrophe makes it a text again. */
function quote(value) {
  if (value == null) return "";
  const text = Array.isArray(value) ? value.join(" ") : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
