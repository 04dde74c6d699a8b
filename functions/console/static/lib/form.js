/** Forms: the fields of a JSON schema as controls. */
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { Field, Prose } from "./ui.js";
import { words } from "./format.js";
import { plain } from "./wording.js";
import { checkValue, controlOf, readValue, resolveSchema, showValue } from "./schema.js";

/**
 * One control of a schema.
 * @param {{schema: any, root?: any, label: string, hint?: string, value: any, onChange: (value: any) => void, error?: string|null, disabled?: boolean, choices?: string[]}} props
 *   `choices`: suggestions for a text.
 */
export function SchemaField({ schema: given, root = given, label, hint, value, onChange, error, disabled = false, choices }) {
  const { schema, nullable } = resolveSchema(given, root);
  const kind = controlOf(schema, root);
  const control = kind === "group" ? "json" : kind; // a group alone is shown as it is
  const [typed, setTyped] = useState(null);
  const [wrong, setWrong] = useState(null);
  const shown = typed ?? showValue(control, value);
  const take = (text) => {
    setTyped(control === "checkbox" || control === "select" ? null : text);
    try {
      const read = readValue(control, text, { nullable });
      setWrong(checkValue(schema, read));
      onChange(read);
    } catch (failed) {
      setWrong(failed.message);
      onChange(undefined);
    }
  };
  const told = wrong ?? error;
  const common = { disabled, "aria-invalid": told ? "true" : undefined, onBlur: () => wrong || setTyped(null) };
  if (control === "checkbox") {
    return html`<div class="field"><label class="check"><input type="checkbox" disabled=${disabled} checked=${shown} onChange=${(event) => take(event.target.checked)} /> ${label}</label>
      ${(hint ?? schema.description) && html`<p class="hint"><${Prose} text=${hint ?? schema.description} /></p>`}${told && html`<p class="wrong">${told}</p>`}</div>`;
  }
  return html`<${Field} label=${label} hint=${hint ?? schema.description} error=${told}>${(id, describedBy) => {
    const attributes = { ...common, id, "aria-describedby": describedBy };
    if (control === "select") {
      return html`<select ...${attributes} value=${shown} onChange=${(event) => take(event.target.value)}>
        ${(nullable || value === undefined) && html`<option value="" selected=${shown === ""}>–</option>`}
        ${schema.enum.map((one) => html`<option key=${one} value=${one} selected=${String(one) === shown}>${plain(one)}</option>`)}</select>`;
    }
    if (control === "integer" || control === "number") {
      return html`<input ...${attributes} type="number" step=${control === "integer" ? 1 : "any"} min=${schema.minimum} max=${schema.maximum} value=${shown} onInput=${(event) => take(event.target.value)} />`;
    }
    if (control === "list" || control === "json" || control === "long") {
      return html`<textarea ...${attributes} rows=${control === "long" && schema.maxLength > 2_000 ? 8 : 3} class=${control === "long" ? undefined : "code"} spellcheck=${control === "long"} placeholder=${control === "list" ? "One per line" : undefined}
        value=${shown} onInput=${(event) => take(event.target.value)}></textarea>`;
    }
    return html`<input ...${attributes} list=${choices ? `${id}-choices` : undefined} value=${shown} onInput=${(event) => take(event.target.value)} />
      ${choices && html`<datalist id=${`${id}-choices`}>${choices.map((one) => html`<option key=${one} value=${one}></option>`)}</datalist>`}`;
  }}<//>`;
}

/**
 * The fields of an object's schema; `errors` are the API's, by "body.name" or by name.
 * @param {{schema: any, root?: any, value: any, onChange: (value: any) => void, errors?: Record<string, string>, only?: string[], labels?: Record<string, string>, choices?: Record<string, string[]>, disabled?: boolean, under?: string}} props
 */
export function SchemaForm({ schema: given, root = given, value, onChange, errors = {}, only, labels = {}, choices = {}, disabled = false, under = "" }) {
  const { schema } = resolveSchema(given, root);
  const names = only ?? Object.keys(schema.properties ?? {});
  return html`${names.map((name) => {
    const { schema: inner, nullable } = resolveSchema(schema.properties[name], root);
    const full = under ? `${under}.${name}` : name;
    const set = (next) => onChange({ ...value, [name]: nullable && isBare(next) ? null : next });
    const label = labels[full] ?? words(name);
    if (controlOf(inner, root) === "group") {
      return html`<fieldset key=${name}><legend>${label}</legend><${SchemaForm} schema=${inner} root=${root} value=${value?.[name] ?? {}} onChange=${set}
        errors=${errors} labels=${labels} choices=${choices} disabled=${disabled} under=${full} /></fieldset>`;
    }
    return html`<${SchemaField} key=${name} schema=${schema.properties[name]} root=${root} label=${label} value=${value?.[name]} onChange=${set}
      error=${errors[`body.${full}`] ?? errors[full]} choices=${choices[full]} disabled=${disabled} />`;
  })}`;
}

/** Whether a group has nothing in it, so that the group itself is none. */
function isBare(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.values(value).every((one) => one === undefined || one === null || one === "");
}
