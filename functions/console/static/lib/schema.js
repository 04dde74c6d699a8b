/** Forms of JSON schemas: which control a schema asks for, and what a control's text means. No element is made here. */

/** The schema behind references, and whether null is allowed. @param {any} schema @param {any} [root] @returns {{schema: any, nullable: boolean}} */
export function resolveSchema(schema, root = schema) {
  let found = schema;
  let nullable = false;
  for (let depth = 0; depth < 20; depth += 1) {
    const named = found.$ref && /^#\/(?:\$defs|components\/schemas)\/(.+)$/.exec(found.$ref);
    const kinds = found.anyOf ?? found.oneOf;
    if (named) {
      const { $ref, ...own } = found;
      found = { ...((root.$defs ?? root.components?.schemas ?? {})[named[1]] ?? {}), ...own };
    } else if (kinds && kinds.some((kind) => kind.type === "null")) {
      const rest = kinds.filter((kind) => kind.type !== "null");
      nullable = true;
      if (rest.length !== 1) return { schema: found, nullable };
      const { anyOf, oneOf, ...own } = found;
      found = { ...own, ...rest[0], title: own.title ?? rest[0].title, description: own.description ?? rest[0].description };
    } else if (found.allOf?.length === 1) {
      const { allOf, ...own } = found;
      found = { ...allOf[0], ...own };
    } else break;
  }
  return { schema: found, nullable };
}

/** The control of a resolved schema. @param {any} schema @returns {"checkbox"|"select"|"integer"|"number"|"text"|"long"|"list"|"group"|"json"} */
export function controlOf(schema, root = schema) {
  if (schema.enum) return "select";
  if (schema.type === "boolean") return "checkbox";
  if (schema.type === "integer" || schema.type === "number") return schema.type;
  if (schema.type === "string") return (schema.maxLength ?? 0) > 300 ? "long" : "text";
  if (schema.type === "array" && resolveSchema(schema.items ?? {}, root).schema.type === "string") return "list";
  if (schema.type === "object" && schema.properties) return "group";
  return "json";
}

/** The text that a control shows for a value. @param {string} control @param {any} value @returns {any} */
export function showValue(control, value) {
  if (control === "checkbox") return Boolean(value);
  if (value === null || value === undefined) return "";
  if (control === "list") return value.join("\n");
  if (control === "json") return JSON.stringify(value, null, 2);
  return String(value);
}

/** The value of a control's text; undefined where it is left empty and need not be there. @param {string} control @param {any} shown @param {{nullable?: boolean}} [how] @returns {any} @throws {Error} It is none. */
export function readValue(control, shown, { nullable = false } = {}) {
  if (control === "checkbox") return Boolean(shown);
  if (control === "list") return shown.split("\n").map((line) => line.trim()).filter(Boolean);
  if (shown === "") return nullable ? null : control === "text" || control === "long" ? "" : undefined;
  if (control === "integer" || control === "number") {
    const value = Number(shown);
    if (!Number.isFinite(value) || (control === "integer" && !Number.isInteger(value))) throw new Error("must be a number");
    return value;
  }
  if (control === "json") {
    try {
      return JSON.parse(shown);
    } catch {
      throw new Error("must be JSON");
    }
  }
  return shown;
}

/** What is wrong with a value by its schema; null where nothing is. The API has the last word. @param {any} schema Resolved. @param {any} value @returns {string|null} */
export function checkValue(schema, value) {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") {
    if (schema.minimum !== undefined && value < schema.minimum) return `must be at least ${schema.minimum}`;
    if (schema.maximum !== undefined && value > schema.maximum) return `must be at most ${schema.maximum}`;
    if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) return `must be above ${schema.exclusiveMinimum}`;
    if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) return `must be below ${schema.exclusiveMaximum}`;
  }
  if (typeof value === "string") {
    if (schema.minLength && value.length < schema.minLength) return `needs at least ${schema.minLength} characters`;
    if (schema.maxLength && value.length > schema.maxLength) return `has more than ${schema.maxLength} characters`;
    if (schema.pattern && value !== "" && !matches(schema.pattern, value)) return "has characters that are not allowed here";
  }
  if (Array.isArray(value)) {
    if (schema.maxItems !== undefined && value.length > schema.maxItems) return `has more than ${schema.maxItems} entries`;
    if (schema.minItems !== undefined && value.length < schema.minItems) return `needs at least ${schema.minItems} entries`;
  }
  return null;
}

/** Check an object by its schema; what is wrong, by dotted names. @param {any} schema @param {any} value @param {any} [root] @returns {Record<string, string>} */
export function checkObject(schema, value, root = schema) {
  const wrong = {};
  const { schema: own } = resolveSchema(schema, root);
  for (const [name, part] of Object.entries(own.properties ?? {})) {
    const { schema: inner } = resolveSchema(part, root);
    const given = value?.[name];
    if (own.required?.includes(name) && (given === undefined || given === "")) wrong[name] = "is required";
    else if (controlOf(inner, root) === "group" && given) {
      for (const [below, told] of Object.entries(checkObject(inner, given, root))) wrong[`${name}.${below}`] = told;
    } else {
      const told = checkValue(inner, given);
      if (told) wrong[name] = told;
    }
  }
  return wrong;
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // a pattern of another dialect: the API decides
  }
}
