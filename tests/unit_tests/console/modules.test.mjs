// Run by test_modules.py. The modules are plain files: Node is told that they are modules, and where libraries are.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

const STATIC = new URL("../../../functions/console/static/", import.meta.url);

/** The console's files in a folder where Node takes them as modules, with the libraries under their names. */
const folder = mkdtempSync(join(tmpdir(), "console-"));
after(() => rmSync(folder, { recursive: true }));
cpSync(STATIC, folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{"type": "module"}');
for (const name of ["preact", "preact/hooks", "htm", "@preact/signals"]) {
  const place = join(folder, "node_modules", name);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "index.js"), 'export * from "libraries"; export { default } from "libraries";');
  writeFileSync(join(place, "package.json"), JSON.stringify({ type: "module", exports: { ".": "./index.js", "./hooks": "./hooks/index.js" } }));
}
const libraries = join(folder, "node_modules", "libraries");
cpSync(new URL("vendor/", STATIC), libraries, { recursive: true });
writeFileSync(join(libraries, "package.json"), JSON.stringify({ type: "module", exports: "./libraries.js" }));
const load = (name) => import(pathToFileURL(join(folder, name)).href);

globalThis.location = { origin: "https://console.example", hash: "", href: "https://console.example/api/console" };
const kept = new Map();
globalThis.sessionStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) };
globalThis.history = { replaceState: () => undefined };

test("an address is read as it was written", async () => {
  const { parse, link } = await load("lib/router.js");
  const written = link("/prompts/a%2Fb", { tag: "x&y=z", cursor: "", deleted: false, limit: 5 });
  assert.equal(written, "#/prompts/a%2Fb?tag=x%26y%3Dz&limit=5");
  assert.deepEqual(parse(written), { path: "/prompts/a%2Fb", query: { tag: "x&y=z", limit: "5" } });
  assert.deepEqual(parse(""), { path: "/", query: {} });
});

test("a path has its parameters, whatever is in them", async () => {
  const { fill, match } = await load("lib/router.js");
  const name = "ünï/<b>?#";
  assert.deepEqual(match("/prompts/:name", fill("/prompts/:name", { name })), { name });
  assert.equal(match("/prompts/:name", "/prompts"), null);
  assert.equal(match("/prompts/:name", "/prompts/"), null);
  assert.equal(match("/prompts/:name", "/prompts/%E0%A4%A"), null);
  assert.equal(match("/prompts/:name", "/prompts/a/b"), null);
  assert.deepEqual(["/prompts/..", "/prompts/%2E", "/prompts/%2e%2e"].map((one) => match("/prompts/:name", one)), [null, null, null]);
  assert.deepEqual(match("/prompts/:name", "/prompts/..."), { name: "..." });
});

test("who works for another tenant is asked first where something is not saved", async () => {
  const { answerLeaving, holdUnsaved, leaveFor, leaving } = await load("lib/router.js");
  const done = [];
  leaveFor(() => done.push("nothing to lose"));
  holdUnsaved("editor", true);
  leaveFor(() => done.push("stayed"));
  assert.notEqual(leaving.value, null);
  answerLeaving(false);
  leaveFor(() => done.push("left"));
  answerLeaving(true);
  assert.deepEqual([done, leaving.value], [["nothing to lose", "left"], null]);
});

test("no request goes to another origin", async () => {
  const { resolve, path } = await load("lib/api.js");
  assert.equal(resolve("/prompts", { prefix: "a b", tag: "" }), "https://console.example/api/v1/prompts?prefix=a+b");
  assert.equal(resolve("/api/health/ready"), "https://console.example/api/health/ready");
  assert.equal(path`/prompts/${"../../x"}/versions`, "/prompts/..%2F..%2Fx/versions");
  for (const name of [".", ".."]) assert.throws(() => path`/prompts/${name}/versions`, { status: 404, message: "Nothing has this name" });
  for (const where of ["//evil.example/api/", "https://evil.example/api/v1", "/../../evil", "@evil.example"]) {
    let url = null;
    try {
      url = new URL(resolve(where));
    } catch (refused) {
      assert.match(refused.message, /own origin|Invalid URL/);
      continue;
    }
    assert.equal(url.origin, "https://console.example");
    assert.match(url.pathname, /^\/api\//);
  }
});

test("who signs in at a provider proves that it began here", async () => {
  const { caller, credential, signOut } = await load("lib/session.js");
  const { leaveForProvider, returnFromProvider } = await load("lib/provider.js");
  const provider = { issuer: "https://login.example/v2", client_id: "console", scopes: "openid api" };
  const asked = [];
  const answers = {
    "/api/console/config.json": provider,
    "https://login.example/v2/.well-known/openid-configuration": { issuer: provider.issuer, authorization_endpoint: "https://login.example/authorize", token_endpoint: "https://login.example/token" },
    "https://login.example/token": { access_token: "a-token" },
    "https://console.example/api/v1/me": { role: "tenant_admin", tenant_id: "acme", user_id: "ann", key_id: null },
  };
  globalThis.fetch = (url, init) => (asked.push([url, init]), Promise.resolve(new Response(JSON.stringify(answers[url]))));
  let left = null;
  Object.assign(location, { pathname: "/api/console", search: "", hash: "#/prompts", assign: (url) => (left = new URL(url)) });

  await leaveForProvider(provider);
  const sent = Object.fromEntries(left.searchParams);
  assert.equal(left.origin + left.pathname, "https://login.example/authorize");
  assert.equal(sent.redirect_uri, "https://console.example/api/console");
  assert.equal(sent.code_challenge_method, "S256");

  location.search = "?code=a-code&state=another";
  await assert.rejects(returnFromProvider(), /begun elsewhere/);
  assert.equal(asked.some(([url]) => url.endsWith("/token")), false);

  await leaveForProvider(provider);
  const again = Object.fromEntries(left.searchParams);
  location.search = `?code=a-code&state=${again.state}`;
  assert.equal(await returnFromProvider(), true);
  const [, exchange] = asked.find(([url]) => url.endsWith("/token"));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(exchange.body.get("code_verifier")));
  assert.equal(Buffer.from(digest).toString("base64url"), again.code_challenge);
  assert.equal(exchange.credentials, "omit");
  assert.deepEqual([credential.value, caller.value.tenant_id], ["a-token", "acme"]);
  assert.equal(kept.has("tenantry.signing_in"), false);

  signOut();
  assert.deepEqual([credential.value, caller.value, kept.size], [null, null, 0]);
});

test("who signs in again in a window of its own is heard by the page that waits, by its state alone", async () => {
  const { returnFromProvider, signInBeside } = await load("lib/provider.js");
  const provider = { issuer: "https://login.example/v2", client_id: "console", scopes: "openid" };
  const forms = [];
  globalThis.fetch = async (url, init) => {
    if (url.endsWith("/token")) forms.push(Object.fromEntries(init.body));
    const told = url.endsWith("config.json") ? provider : { issuer: provider.issuer, authorization_endpoint: "https://login.example/authorize", token_endpoint: "https://login.example/token", access_token: "a-token" };
    return new Response(JSON.stringify(told));
  };
  let leave;
  const left = new Promise((done) => (leave = done));
  const shown = { opener: globalThis, sessionStorage: new Map([["tenantry.key", "old"]]), location: { replace: (url) => leave(new URL(url)) } };
  let closed = 0;
  Object.assign(globalThis, { open: () => shown, close: () => (closed += 1) });

  const token = signInBeside(provider, new AbortController().signal);
  const state = (await left).searchParams.get("state");
  for (const [code, told] of [["theirs", "x.beside"], ["ours", state]]) {
    location.search = `?code=${code}&state=${told}`;
    assert.equal(await returnFromProvider(), false);
  }

  assert.equal(await token, "a-token");
  assert.deepEqual(forms.map((form) => form.code), ["ours"]);
  assert.deepEqual([shown.opener, shown.sessionStorage.size, closed], [null, 0, 2]);
});

test("a window that the browser does not open, and a provider that is down, are told with what to do", async () => {
  const { leaveForProvider, signInBeside } = await load("lib/provider.js");
  globalThis.open = () => null;
  await assert.rejects(signInBeside({ issuer: "https://login.example" }, new AbortController().signal), (error) => /opened no window/.test(error.message) && /enter a key/.test(error.hint));
  globalThis.fetch = async () => new Response("<p>Not found</p>", { status: 404 });
  await assert.rejects(leaveForProvider({ issuer: "https://login.example" }), /did not answer/);
});

test("who is signed in is taken from what the page has asked before, once and for its key alone", async () => {
  const session = await load("lib/session.js");
  const { resume } = await load("lib/signin.js");
  const asked = [];
  const answerOf = (tenant, status = 200) => Promise.resolve(new Response(JSON.stringify({ role: "user", tenant_id: tenant, user_id: null, key_id: null }), { status }));
  globalThis.fetch = (url, init) => (asked.push(init.headers.Authorization), answerOf("asked"));
  session.credential.value = "mine";
  const cases = [[{ key: "mine", answer: answerOf("begun") }, "begun"], [{ key: "another's", answer: answerOf("another's") }, "asked"], [undefined, "asked"]];
  for (const [begun, tenant] of cases) {
    globalThis.begun = begun;
    await resume();
    assert.deepEqual([session.caller.value.tenant_id, globalThis.begun], [tenant, undefined]);
  }
  assert.deepEqual(asked, ["Bearer mine", "Bearer mine"]);

  globalThis.begun = { key: "mine", answer: Promise.reject(new TypeError("no network")) };
  await assert.rejects(resume(), { status: 0 });
  assert.equal(session.credential.value, "mine");
  globalThis.begun = { key: "mine", answer: answerOf(null, 401) };
  await resume();
  assert.deepEqual([session.caller.value, session.credential.value], [null, null]);
});

test("a key that is refused in the middle is asked for once, and the request is sent again", async () => {
  const { get } = await load("lib/api.js");
  const session = await load("lib/session.js");
  session.credential.value = "old";
  session.caller.value = { role: "user", tenant_id: "acme" };
  const sent = [];
  globalThis.fetch = (url, init) => {
    const key = init.headers.Authorization;
    sent.push(key);
    const good = key === "Bearer new";
    return Promise.resolve(new Response(JSON.stringify(good ? { items: [] } : { error: "AuthenticationError", message: "No" }), { status: good ? 200 : 401 }));
  };
  const both = Promise.all([get("/bots"), get("/prompts")]);
  while (!session.reauthentication.value) await new Promise(setImmediate);
  const question = session.reauthentication.value;
  session.credential.value = "new";
  question.answer(true);
  assert.deepEqual(await both, [{ items: [] }, { items: [] }]);
  assert.equal(session.reauthentication.value, null);
  assert.deepEqual(sent.filter((key) => key === "Bearer new").length, 2);
  session.credential.value = "new again";
  await assert.rejects(Promise.all([get("/bots"), new Promise((done) => setImmediate(() => (session.reauthentication.value?.answer(false), done())))]), { status: 401 });
});

test("what one began is never sent again as another, or for another tenant", async () => {
  const { put } = await load("lib/api.js");
  const session = await load("lib/session.js");
  const admin = { role: "admin", tenant_id: null, user_id: null };
  const acme = { role: "tenant_admin", tenant_id: "acme", user_id: null };
  const cases = [
    { by: admin, then: admin, sent: ["old for acme", "new for acme"] },
    { by: acme, then: { ...acme, tenant_id: "globex" }, sent: ["old for acme"] },
    { by: { ...acme, user_id: "ann" }, then: { ...acme, user_id: "bob" }, sent: ["old for acme"] },
    { by: admin, then: acme, sent: ["old for acme"] },
  ];
  for (const { by, then, sent: wanted } of cases) {
    session.credential.value = "old";
    session.caller.value = by;
    session.pickTenant("acme");
    const sent = [];
    globalThis.fetch = async (url, { headers }) => {
      const key = headers.Authorization.slice("Bearer ".length);
      sent.push(`${key} for ${headers["X-Tenant-Id"]}`);
      session.pickTenant("globex"); // while the answer is on its way
      session.credential.value = "new";
      session.caller.value = then;
      return new Response(JSON.stringify({}), { status: key === "old" ? 401 : 200 });
    };
    await put("/settings/chat.model", { value: "of acme" }).catch((error) => assert.equal(error.status, 401));
    assert.deepEqual(sent, wanted);
  }
});

test("an error says what to do", async () => {
  const { ApiError } = await load("lib/api.js");
  const refused = new ApiError(429, { message: "Over the limit" }, 12.2);
  assert.equal(refused.hint, "Try again in 13 s.");
  assert.equal(new ApiError(412, {}, null).isConflict, true);
  assert.deepEqual(new ApiError(422, { detail: { fields: { "body.name": "required" } } }, null).fields, { "body.name": "required" });
  for (const status of [0, 401, 403, 404, 409, 412, 413, 422, 429, 500, 503, 504]) assert.ok(new ApiError(status, {}, null).hint, status);
});

test("events are read however they are cut", async () => {
  const { readEvents } = await load("lib/api.js");
  const text = ': hello\n\nevent: token\nid: 1\ndata: {"text":"ä"}\n\ndata: a\ndata: b\n\ndata: [DONE]\n\n';
  const whole = new TextEncoder().encode(text);
  for (const size of [1, 2, 7, whole.length]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < whole.length; at += size) controller.enqueue(whole.slice(at, at + size));
        controller.close();
      },
    });
    const found = [];
    for await (const event of readEvents(body)) found.push(event);
    assert.deepEqual(found, [
      { event: "token", id: "1", data: { text: "ä" } },
      { event: "message", id: null, data: "a\nb" },
      { event: "message", id: null, data: "[DONE]" },
    ]);
  }
});

test("a schema becomes a control, and a control's text a value", async () => {
  const { controlOf, resolveSchema, readValue, showValue } = await load("lib/schema.js");
  const root = { $defs: { Name: { type: "string", maxLength: 9 } } };
  const of = (schema) => controlOf(resolveSchema(schema, root).schema, root);
  assert.equal(of({ type: "boolean" }), "checkbox");
  assert.equal(of({ enum: ["a", "b"] }), "select");
  assert.equal(of({ anyOf: [{ type: "integer" }, { type: "null" }] }), "integer");
  assert.equal(of({ $ref: "#/$defs/Name" }), "text");
  assert.equal(of({ type: "string", maxLength: 20000 }), "long");
  assert.equal(of({ type: "array", items: { $ref: "#/$defs/Name" } }), "list");
  assert.equal(of({ type: "object", additionalProperties: {} }), "json");
  assert.equal(of({ type: "object", properties: { a: {} } }), "group");
  assert.equal(resolveSchema({ anyOf: [{ type: "integer" }, { type: "null" }] }).nullable, true);
  for (const [control, value] of [["integer", 7], ["number", 0.5], ["checkbox", true], ["list", ["a", "b"]], ["json", { a: [1] }], ["text", "x"]]) {
    assert.deepEqual(readValue(control, showValue(control, value)), value);
  }
  assert.equal(readValue("integer", "", { nullable: true }), null);
  assert.throws(() => readValue("integer", "1.5"), /number/);
  assert.throws(() => readValue("json", "{"), /JSON/);
});

test("what a schema refuses is named by its field", async () => {
  const { checkObject } = await load("lib/schema.js");
  const schema = {
    required: ["name"],
    properties: { name: { type: "string", pattern: "^[a-z]+$" }, size: { type: "object", properties: { width: { type: "integer", minimum: 1 } } } },
  };
  assert.deepEqual(checkObject(schema, { size: { width: 0 } }), { name: "is required", "size.width": "must be at least 1" });
  assert.deepEqual(checkObject(schema, { name: "A" }), { name: "has characters that are not allowed here" });
  assert.deepEqual(checkObject(schema, { name: "a", size: { width: 1 } }), {});
});

test("a difference loses no line", async () => {
  const { diffLines } = await load("lib/diff.js");
  const cases = [["", ""], ["a\nb\nc", "a\nc"], ["a", "a\nb"], ["x\ny", "p\nq\nr"], ["a\nb\na\nb", "b\na\nb\na"], ["same\n1\nsame", "same\n2\nsame"]];
  for (const [before, after] of cases) {
    const lines = diffLines(before, after);
    assert.equal(lines.filter((line) => line.kind !== "added").map((line) => line.text).join("\n"), before);
    assert.equal(lines.filter((line) => line.kind !== "removed").map((line) => line.text).join("\n"), after);
  }
  assert.deepEqual(diffLines("a\nb", "a\nc").map((line) => line.kind), ["same", "removed", "added"]);
});

test("variables are those that the API finds", async () => {
  const { asText, looksWrong, readUnified, variablesOf } = await load("lib/template.js");
  assert.deepEqual(variablesOf("Hi {name}, {{not}} {a_1} {name} {9no} {"), ["name", "a_1"]);
  assert.deepEqual(variablesOf([{ role: "user", content: "{x}" }, { placeholder: "history" }]), ["x"]);
  assert.equal(looksWrong("a } b").length, 1);
  assert.equal(looksWrong("{{ {name} }}").length, 0);
  assert.equal(asText([{ role: "user", content: "{x}" }, { placeholder: "history" }]), "user:\n{x}\n\n[history]");
  const lines = readUnified("--- version 1\n+++ version 2\n@@ -1 +1 @@\n # template\n-a\n+b");
  assert.deepEqual(lines, [{ kind: "same", text: "# template" }, { kind: "removed", text: "a" }, { kind: "added", text: "b" }]);
});

test("a variable may have a name that every object has", async () => {
  const { declaredOf, valueOf } = await load("lib/template.js");
  const none = { description: null, default: null };
  const declared = declaredOf({ template: "{constructor} {__proto__} {name}", declared_variables: { name: { ...none, default: "x" } } });
  assert.equal(JSON.stringify(declared), JSON.stringify({ constructor: none, ["__proto__"]: none, name: { ...none, default: "x" } }));
  assert.deepEqual(["constructor", "toString", "__proto__"].map((name) => valueOf({}, name)), [undefined, undefined, undefined]);
  assert.equal(valueOf({ constructor: "mine" }, "constructor"), "mine");
});

test("a bot's faults are named before it is saved", async () => {
  const { checkBot } = await load("pages/bot_editor.js");
  const known = { root: {}, schema: { properties: { description: { type: "string", maxLength: 5 } } } };
  assert.deepEqual(checkBot({ system_prompt: "Help", description: "short" }, known), {});
  assert.deepEqual(checkBot({ system_prompt: "", description: "too long" }, known), {
    description: "has more than 5 characters",
    system_prompt: "is required, unless a prompt is named",
  });
  assert.deepEqual(Object.keys(checkBot({ prompt: { name: "p", label: "l", version: 1 } }, known)), ["prompt.version"]);
  assert.deepEqual(Object.keys(checkBot({ system_prompt: "x", memory: { type: "summary", max_tokens: 10 } }, known)), ["memory.max_tokens"]);
});

test("rows become series over days", async () => {
  const { seriesBy } = await load("pages/overview.js");
  const rows = [{ day: "2026-01-02", model: "b", n: 2 }, { day: "2026-01-01", model: "a", n: 1 }, { day: "2025-01-01", model: "a", n: 9 }];
  assert.deepEqual(seriesBy(rows, "model", ["2026-01-01", "2026-01-02"], (row) => row.n), [{ label: "a", values: [1, 0] }, { label: "b", values: [0, 2] }]);
});

test("a chart's axis has round numbers", async () => {
  const { limitSeries, niceTicks } = await load("lib/charts.js");
  assert.deepEqual(niceTicks(7), [0, 2, 4, 6, 8]);
  assert.deepEqual(niceTicks(0.004), [0, 0.001, 0.002, 0.003, 0.004]);
  assert.deepEqual(niceTicks(0), [0, 1]);
  const many = Array.from({ length: 10 }, (_, at) => ({ label: String(at), values: [at, null] }));
  const kept = limitSeries(many, 8);
  assert.equal(kept.length, 8);
  assert.deepEqual(kept.at(-1), { label: "Others", values: [0 + 1 + 2, 0] });
});

test("numbers and times are shown as people read them", async () => {
  const { ago, daysBetween, money, percent, shorten, words } = await load("lib/format.js");
  assert.match(money("0.00067", "USD"), /0\.00067/);
  assert.match(money("12.5", "EUR"), /12\.50/);
  assert.equal(money(null), "–");
  assert.match(percent(0.125), /12\.5/);
  assert.deepEqual(daysBetween("2026-01-30", "2026-02-01"), ["2026-01-30", "2026-01-31", "2026-02-01"]);
  assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T03:00:00Z")), "3 hours ago");
  assert.equal(words("dead_letters"), "Dead letters");
  assert.equal(shorten("abcdef", 4), "abc…");
});

test("a table of a spreadsheet has each value once, and no formula", async () => {
  const { toCsv } = await load("lib/files.js");
  const rows = [{ name: 'a "b", c', cost: "0.5" }, { name: "=1+1", cost: "-2" }, { name: null, cost: 3, more: "left out" }];
  assert.equal(toCsv(["name", "cost"], rows), 'name,cost\r\n"a ""b"", c",0.5\r\n\'=1+1,-2\r\n,3\r\n');
});

test("an entry of the catalogue is sent as it is shown, without what the API does not take", async () => {
  const { entryOf } = await load("pages/model_editor.js");
  const model = {
    name: "ours", source: "stored", etag: "x", enabled: true, provider: "azure", fallbacks: [], kind: "chat", retires_on: null, retires_soon: false,
    price: { currency: "USD", prompt: "0.5", completion: "2", cached: "0.1", reasoning: "2" }, connection: { model: "gpt-4o", deployment: "ours-1", base_url: null },
    takes_images: true, images: { base: 85, tile: 170, patches: null, factor: null }, dimensions: null,
  };
  const price = { prompt: 0.5, completion: 2, cached: 0.1, reasoning: 2 };
  assert.deepEqual(JSON.parse(JSON.stringify(entryOf(model))), { provider: "azure", enabled: true, fallbacks: [], kind: "chat", price, images: { base: 85, tile: 170 }, model: "gpt-4o", deployment: "ours-1" });
});

test("what was used of a budget is of its day or month, and of its pool", async () => {
  const { budgetsOf } = await load("pages/limits.js");
  const limits = { tokens_per_day: 100, tokens_per_month: null, embeddings: { tokens_per_day: 200, tokens_per_month: 900 } };
  const row = (day, app_id, total_tokens) => ({ day, app_id, total_tokens });
  const rows = [row("2026-12-01", "chat", 7), row("2026-12-02", "chat", 20), row("2026-12-02", "openai-embeddings", 50), row("2026-12-01", "openai-embeddings", 1)];
  const told = budgetsOf({ held: { limits }, rows, today: "2026-12-02" }).map(({ used, most }) => [used, most]);
  assert.deepEqual(told, [[20, 100], [50, 200], [51, 900]]);
});

test("names of the API are read as plain words, from one table", async () => {
  const { plain } = await load("lib/wording.js");
  const { ACTIONS } = await load("pages/audit.js");
  const { nameOf } = await load("pages/bot_editor.js");
  assert.deepEqual(ACTIONS.filter((action) => /\b(create|delete|put|act|rotate|revoke|replay|export|purge|update)$/.test(plain(action))), []);
  assert.deepEqual(["tokens_per_minute", "constructor", null].map(plain), ["Tokens per minute", "Constructor", "–"]);
  assert.deepEqual([nameOf("llm.temperature"), nameOf("system_prompt"), nameOf("prompt.name")], ["Model, temperature", "Instructions", "Prompt"]);
});

test("letters that were picked are replayed one by one, and a refused one keeps no other waiting", async () => {
  const { oneOf } = await load("pages/dead_letters.js");
  const answers = { a: [200, { id: "a" }], b: [409, { error: "DeadLetterNotReplayableError", message: "Its job is over" }], c: [429, { error: "BudgetExceededError" }] };
  globalThis.fetch = async (url) => {
    const [status, told] = answers[new URL(url).pathname.split("/").at(-2)];
    return new Response(JSON.stringify(told), { status });
  };
  const next = oneOf([{ id: "a" }, { id: "b" }, { id: "c" }], {});
  const first = await next(null);
  const second = await next(first.next_cursor);
  assert.deepEqual([first.replayed, first.refused], [[{ id: "a" }], []]);
  assert.deepEqual([second.replayed, second.refused[0].error], [[], "DeadLetterNotReplayableError"]);
  await assert.rejects(next(second.next_cursor), (error) => error.status === 429);
});

test("what a prompt's variables lack is asked for by name", async () => {
  const { missingVariables } = await load("pages/conversation.js");
  assert.deepEqual(missingVariables({ status: 422, detail: { missing: ["customer"], unknown: [] } }), ["customer"]);
  assert.deepEqual(missingVariables({ status: 422, detail: { fields: {} } }), []);
  assert.deepEqual(missingVariables(new Error("elsewhere")), []);
});

test("a line of the log that comes again is shown once, and the newest stay where there are many", async () => {
  const { addLine } = await load("pages/log_tail.js");
  let lines = [];
  for (let id = 0; id < 210; id += 1) lines = addLine(addLine(lines, { id }), { id });
  assert.equal(lines.length, 200);
  assert.deepEqual([lines[0].id, lines[199].id], [209, 10]);
});

test("a job is what the events of its stream say, each of them once", async () => {
  const { applyEvent, isOver } = await load("pages/job.js");
  const step = (number) => ({ event: "step", data: { number, text: String(number) } });
  let job = { status: "queued", steps: [] };
  for (const event of [step(1), { event: "status", data: { status: "running" } }, step(2), step(1)]) job = applyEvent(job, event);
  assert.deepEqual(job, { status: "running", steps: [{ number: 1, text: "1" }, { number: 2, text: "2" }] });
  assert.equal(isOver(job), false);
  job = applyEvent(job, { event: "done", data: { status: "succeeded", steps: [] } });
  assert.equal(isOver(job), true);
});

test("what is left empty of a job is not sent", async () => {
  const { bodyOf } = await load("pages/job_new.js");
  assert.deepEqual(bodyOf({ text: "Think", model: "", strategy: "direct", needs_approval: false, token_budget: null }), { text: "Think", strategy: "direct" });
  assert.deepEqual(bodyOf({ text: "unused", prompt_name: "p", variables: { a: "1" } }), { prompt_name: "p", variables: { a: "1" } });
});

test("a day that there is not is left for the API to refuse", async () => {
  const { shiftDay } = await load("lib/format.js");
  const { timesOf } = await load("pages/calls.js");
  assert.deepEqual(["2026-02-28", "2024-02-28", "2026-12-31"].map((day) => shiftDay(day, 1)), ["2026-03-01", "2024-02-29", "2027-01-01"]);
  assert.equal(shiftDay("2026-03-01", -29), "2026-01-31");
  for (const day of ["never", "275760-09-13", "", "2026-13-40"]) assert.equal(shiftDay(day, 1), day);
  assert.deepEqual(timesOf({ to: "never" }), { from: undefined, to: "neverT00:00:00Z" });
});

test("days are whole days of UTC to the list of calls", async () => {
  const { timesOf } = await load("pages/calls.js");
  assert.deepEqual(timesOf({ from: "2026-02-27", to: "2026-02-28" }), { from: "2026-02-27T00:00:00Z", to: "2026-03-01T00:00:00Z" });
  assert.deepEqual(timesOf({}), { from: undefined, to: undefined });
});

test("a step stands in the waterfall where it was, and can be seen", async () => {
  const { spanOf } = await load("pages/call.js");
  assert.deepEqual(spanOf({ offset_ms: 50, duration_ms: 25 }, 100), { left: 50, width: 25 });
  assert.deepEqual(spanOf({ offset_ms: 100, duration_ms: null }, 100), { left: 99.5, width: 0.5 });
  assert.deepEqual(spanOf({ offset_ms: 0, duration_ms: 0 }, 0), { left: 0, width: 100 });
});
