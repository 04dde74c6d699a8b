/**
 * The API's client: the routes of this origin below /api/ and nothing else, with the key of this session and the tenant
 * that was picked. A key that is refused in the middle of work is asked for again, over the page, and the request is
 * sent once more.
 */
import { caller, credential, isSameCaller, reauthenticate, tenant } from "./session.js";

const ROOT = "/api/v1";

/**
 * What the API refused, in words for people.
 * @property {number} status 0 where nothing answered.
 * @property {string} code The error's name, such as "ValidationError".
 * @property {Record<string, string>} fields What is wrong with which field, by "body.name".
 * @property {string} hint What to do.
 * @property {number|null} retryAfter Seconds until another attempt makes sense.
 * @property {string|null} requestId Ties it to the log.
 */
export class ApiError extends Error {
  /** @param {number} status @param {{error?: string, message?: string, detail?: any, request_id?: string}} told @param {number|null} retryAfter */
  constructor(status, told, retryAfter) {
    super(told.message || "The request failed");
    this.name = "ApiError";
    this.status = status;
    this.code = told.error || "Error";
    this.detail = told.detail || {};
    this.fields = this.detail.fields || {};
    this.requestId = told.request_id || null;
    this.retryAfter = retryAfter;
    this.hint = hintFor(status, this.detail, retryAfter);
  }

  /** Whether somebody else changed the same thing since it was read (412). @returns {boolean} */
  get isConflict() {
    return this.status === 412;
  }
}

/**
 * @typedef {object} Options
 * @property {Record<string, unknown>} [query] What is empty is left out.
 * @property {unknown} [body] Sent as JSON.
 * @property {string|null} [etag] The state that is changed, as If-Match; another one is an ApiError with isConflict.
 * @property {string} [once] An Idempotency-Key: the same one again has no second effect. See `newOnce`.
 * @property {AbortSignal} [signal] Cancels it.
 * @property {Record<string, string>} [headers] Further headers.
 * @property {string|null} [tenant] Act for this tenant instead of the picked one; null for none.
 * @property {string|null} [key] Use this key instead of the session's; then nobody is asked for another one.
 * @property {Promise<Response>} [answer] Of this request, where it was sent before.
 *
 * @typedef {object} Result
 * @property {any} data The answer's JSON; null where there is none.
 * @property {string|null} etag The state that was answered.
 * @property {number} status
 * @property {Headers} headers
 */

/** Send one request. @param {string} method @param {string} path Below /api/v1, such as "/prompts". @param {Options} [options] @returns {Promise<Result>} */
export async function request(method, path, options = {}) {
  const response = await send(method, path, options, "application/json");
  const text = await response.text();
  const data = text ? JSON.parse(text) : null;
  return { data, etag: response.headers.get("etag"), status: response.status, headers: response.headers };
}

/** Read; the answer's JSON alone. @param {string} path @param {Record<string, unknown>} [query] @param {Options} [options] @returns {Promise<any>} */
export async function get(path, query, options = {}) {
  return (await request("GET", path, { ...options, query })).data;
}

/** POST; the answer's JSON. @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<any>} */
export async function post(path, body, options = {}) {
  return (await request("POST", path, { ...options, body })).data;
}

/** PUT; the answer's JSON. @param {string} path @param {unknown} body @param {Options} [options] @returns {Promise<any>} */
export async function put(path, body, options = {}) {
  return (await request("PUT", path, { ...options, body })).data;
}

/** PATCH; the answer's JSON. @param {string} path @param {unknown} body @param {Options} [options] @returns {Promise<any>} */
export async function patch(path, body, options = {}) {
  return (await request("PATCH", path, { ...options, body })).data;
}

/** DELETE; the answer's JSON, if there is one. @param {string} path @param {Options} [options] @returns {Promise<any>} */
export async function remove(path, options = {}) {
  return (await request("DELETE", path, options)).data;
}

/** A path of fixed parts and values: path`/prompts/${name}/versions`. @param {TemplateStringsArray} parts @param {...unknown} values @returns {string} @throws {ApiError} A value would lead to another path. */
export function path(parts, ...values) {
  if (values.some((value) => /^\.\.?$/.test(String(value)))) throw new ApiError(404, { error: "NotFoundError", message: "Nothing has this name" }, null);
  return parts.reduce((whole, part, index) => whole + encodeURIComponent(String(values[index - 1])) + part);
}

/** A new Idempotency-Key. @returns {string} */
export function newOnce() {
  return crypto.randomUUID();
}

/**
 * Follow a stream of events. A GET that breaks off goes on after the last event that came, three times at most.
 * @param {string} method @param {string} where @param {Options} [options]
 * @returns {AsyncGenerator<{event: string, id: string|null, data: any}>}
 * @throws {ApiError} What the stream's `error` event tells, too.
 */
export async function* events(method, where, options = {}) {
  let last = null;
  for (let attempt = 0; ; attempt += 1) {
    const more = last ? { "Last-Event-ID": last } : {};
    try {
      const response = await send(method, where, { ...options, headers: { ...options.headers, ...more } }, "text/event-stream");
      for await (const event of readEvents(response.body)) {
        if (event.event === "error") throw new ApiError(500, asObject(event.data), null);
        last = event.id ?? last;
        attempt = 0;
        yield event;
      }
      return;
    } catch (error) {
      const broken = !(error instanceof ApiError) || error.status === 0;
      if (!broken || options.signal?.aborted || method !== "GET" || !last || attempt >= 3) throw error;
      await pause(500 * 2 ** attempt, options.signal);
    }
  }
}

/** Read the events of a body as they come. @param {ReadableStream<Uint8Array>} body */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value.replaceAll("\r\n", "\n");
      let end;
      while ((end = buffer.indexOf("\n\n")) >= 0) {
        const event = parseEvent(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined); // who stops reading stops the stream
  }
}

/** Read one event's lines; null for a comment. @param {string} text */
export function parseEvent(text) {
  const found = { event: "message", id: null, data: "" };
  const data = [];
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/s.exec(line) ?? [];
    if (name === "data") data.push(value);
    else if (name === "event" || name === "id") found[name] = value;
  }
  if (!data.length) return null;
  const whole = data.join("\n");
  try {
    found.data = JSON.parse(whole);
  } catch {
    found.data = whole; // such as [DONE]
  }
  return found;
}

async function send(method, where, options, accept) {
  const url = resolve(where, options.query);
  const begun = { by: caller.value, tenant: options.tenant === undefined ? tenant.value : options.tenant }; // what is sent is theirs
  for (let asked = false; ; asked = true) {
    const key = options.key ?? credential.value;
    const response = await tryFetch(url, {
      method,
      headers: headersOf({ ...options, tenant: begun.tenant }, key, accept),
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    }, options.answer);
    if (response.ok) return response;
    const error = await readError(response);
    if (error.status !== 401 || asked || options.key || !(await reauthenticate(key)) || !isSameCaller(begun.by, caller.value)) throw error;
  }
}

/** Return the address of a route of this origin. @param {string} where @param {Record<string, unknown>} [query] @returns {string} @throws {Error} It leads elsewhere. */
export function resolve(where, query = {}) {
  const own = globalThis.location.origin;
  const url = new URL(where.startsWith("/api/") ? where : ROOT + where, own);
  if (url.origin !== own || !url.pathname.startsWith("/api/")) throw new Error("The console asks its own origin alone");
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

function headersOf(options, key, accept) {
  const headers = { Accept: accept, ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (options.tenant) headers["X-Tenant-Id"] = options.tenant;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.etag) headers["If-Match"] = options.etag;
  if (options.once) headers["Idempotency-Key"] = options.once;
  return headers;
}

async function tryFetch(url, init, answer) {
  try {
    return await (answer ?? fetch(url, init));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { error: "Unreachable", message: "The service did not answer" }, null);
  }
}

async function readError(response) {
  const after = Number(response.headers.get("retry-after"));
  let told = {};
  try {
    told = asObject(await response.json());
    if (told.error && typeof told.error === "object") told = { ...told.error, error: told.error.code || told.error.type };
  } catch {
    told = { message: `The service answered with ${response.status}` }; // not the app, but what stands before it
  }
  return new ApiError(response.status, { request_id: response.headers.get("x-request-id"), ...told }, after || null);
}

function asObject(value) {
  return value && typeof value === "object" ? value : { message: String(value) };
}

function hintFor(status, detail, retryAfter) {
  const wait = retryAfter ? `Try again in ${Math.ceil(retryAfter)} s.` : "Try again in a moment.";
  const hints = {
    0: "Check your connection, then try again.",
    401: "Sign in again: the key is not valid any more.",
    403: `Ask an administrator: your role may not do this${detail.role ? ` (it is ${detail.role})` : ""}.`,
    404: "It may have been deleted. Go back to the list.",
    409: "Load it again: what is stored has changed, or the same work is still running.",
    412: "Somebody changed it meanwhile. Choose which state is kept.",
    413: "Send less at a time.",
    422: "Correct what is marked, then send it again.",
    429: wait,
    503: wait,
    504: wait,
  };
  return hints[status] ?? (status >= 500 ? "Try again; if it stays, give the request id to whoever runs the platform." : "");
}

function pause(ms, signal) {
  return new Promise((done, stop) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), stop(signal.reason)), { once: true });
  });
}
