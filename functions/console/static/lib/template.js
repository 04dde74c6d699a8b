/** Prompt templates as the API reads them: `{name}` is a variable, `{{` and `}}` are braces. */

const TOKEN = /\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]{0,63})\}/g;

/**
 * @typedef {{role: "system"|"user"|"assistant", content: string}} MessagePart
 * @typedef {{placeholder: string}} PlaceholderPart
 * @typedef {string|(MessagePart|PlaceholderPart)[]} Template
 */

/** The names of a template's variables, in the order in which they are found. @param {Template} template @returns {string[]} */
export function variablesOf(template) {
  const texts = typeof template === "string" ? [template] : template.map((part) => part.content ?? "");
  return [...new Set(texts.flatMap((text) => [...text.matchAll(TOKEN)].map(([, name]) => name).filter(Boolean)))];
}

/** The value that stands under a variable's name: none where it is a name that every object has, such as "constructor". @template T @param {Record<string, T>|null|undefined} values @param {string} name @returns {T|undefined} */
export function valueOf(values, name) {
  return values && Object.hasOwn(values, name) ? values[name] : undefined;
}

/** The declarations of exactly those variables that a template has; none where none is described. @param {{template: Template, declared_variables: Record<string, any>}} draft */
export function declaredOf({ template, declared_variables: declared }) {
  if (Object.keys(declared).length === 0) return {};
  return Object.fromEntries(variablesOf(template).map((name) => [name, valueOf(declared, name) ?? { description: null, default: null }]));
}

/** What of a template is probably not meant; the API warns, too. @param {Template} template @returns {string[]} */
export function looksWrong(template) {
  const texts = typeof template === "string" ? [template] : template.map((part) => part.content ?? "");
  const found = [];
  for (const text of texts) {
    const rest = text.replace(TOKEN, "");
    if (/[{}]/.test(rest)) found.push("A single brace stands alone: write {{ or }} for a brace in the text.");
  }
  return [...new Set(found)];
}

/** A template as one text, to be compared. @param {Template} template @returns {string} */
export function asText(template) {
  if (typeof template === "string") return template;
  return template.map((part) => (part.placeholder ? `[${part.placeholder}]` : `${part.role}:\n${part.content}`)).join("\n\n");
}

/** The lines of a unified diff. @param {string} diff @returns {import("./diff.js").DiffLine[]} */
export function readUnified(diff) {
  const kinds = { "-": "removed", "+": "added" };
  return diff
    .split("\n")
    .filter((line) => !line.startsWith("--- ") && !line.startsWith("+++ ") && !line.startsWith("@@"))
    .map((line) => ({ kind: kinds[line[0]] ?? "same", text: line.slice(1) }));
}
