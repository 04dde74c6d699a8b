/**
 * Who is signed in, and for which tenant. The credential is kept in sessionStorage: it ends with the tab, and no other
 * tab has it.
 */
import { computed, signal } from "@preact/signals";

const STORE = globalThis.sessionStorage;
const KEY = "tenantry.key";
const TENANT = "tenantry.tenant";
const SIGNING_IN = "tenantry.signing_in";

/**
 * @typedef {object} Caller
 * @property {"admin"|"tenant_admin"|"user"} role
 * @property {string|null} tenant_id Of an administrator, none.
 * @property {string|null} user_id
 * @property {string|null} key_id
 */

/** The key or user token. @type {import("@preact/signals").Signal<string|null>} */
export const credential = signal(STORE?.getItem(KEY) ?? null);

/** Who it belongs to; null while nobody is signed in. @type {import("@preact/signals").Signal<Caller|null>} */
export const caller = signal(null);

/** The tenant that an administrator has picked; null for the others, whose tenant is their own. @type {import("@preact/signals").Signal<string|null>} */
export const tenant = signal(STORE?.getItem(TENANT) ?? null);

/** The tenant that pages are about; null where an administrator has picked none. */
export const activeTenant = computed(() => caller.value?.tenant_id ?? tenant.value);

/** The question for another key, while one is open. @type {import("@preact/signals").Signal<{answer: (again: boolean) => void}|null>} */
export const reauthentication = signal(null);

const RANKS = { user: 0, tenant_admin: 1, admin: 2 };

/** Tell whether the caller's role includes another. @param {"user"|"tenant_admin"|"admin"} role @returns {boolean} */
export function can(role) {
  return caller.value !== null && RANKS[caller.value.role] >= RANKS[role];
}

/** Tell whether two callers are the same tenant, role and user; keys of one may differ. @param {Caller|null} one @param {Caller|null} other @returns {boolean} */
export function isSameCaller(one, other) {
  return ["tenant_id", "role", "user_id"].every((name) => (one?.[name] ?? null) === (other?.[name] ?? null));
}

/** Sign in with a key or a user token. @param {string} key @returns {Promise<Caller>} @throws {ApiError} It is not in force. */
export async function signIn(key) {
  const found = await identify(key);
  if (found.role !== "admin") keepTenant(null);
  credential.value = key;
  STORE.setItem(KEY, key);
  caller.value = found;
  return found;
}

/** Sign in again with what the tab remembers. @returns {Promise<void>} */
export async function resume() {
  if (!credential.value) return;
  try {
    caller.value = await identify(credential.value);
  } catch (error) {
    if (error.status === 401) signOut();
    else throw error;
  }
}

/** Forget the credential. */
export function signOut() {
  STORE.removeItem(KEY);
  keepTenant(null);
  credential.value = null;
  caller.value = null;
  reauthentication.value?.answer(false);
}

/** Work for a tenant from now on; null for none. @param {string|null} tenantId */
export function pickTenant(tenantId) {
  keepTenant(tenantId);
}

/** Ask for another credential over the page; callers at one time share one question. @param {string|null} refused @returns {Promise<boolean>} Whether there is another one. */
export function reauthenticate(refused) {
  if (!caller.value) return Promise.resolve(false); // the page to sign in is there already
  if (credential.value !== refused) return Promise.resolve(true);
  const open = reauthentication.value;
  if (open) return open.promise;
  let answer;
  const promise = new Promise((done) => {
    answer = (again) => {
      reauthentication.value = null;
      done(again);
    };
  });
  reauthentication.value = { answer, promise };
  return promise;
}

/** Read how people may sign in beside a key. @returns {Promise<{issuer: string|null, client_id: string|null, scopes: string|null}>} */
export async function readProvider() {
  const answer = await fetch("/api/console/config.json", { credentials: "omit" });
  return answer.ok ? answer.json() : { issuer: null, client_id: null, scopes: null };
}

/** Leave for the provider: authorization code with PKCE. @param {{issuer: string, client_id: string, scopes: string}} provider */
export async function leaveForProvider(provider) {
  const { authorization_endpoint: at } = await discover(provider.issuer);
  const [verifier, state] = [randomText(), randomText()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  STORE.setItem(SIGNING_IN, JSON.stringify({ verifier, state, hash: location.hash }));
  const url = new URL(at);
  const asked = {
    response_type: "code",
    client_id: provider.client_id,
    redirect_uri: redirectUri(),
    scope: provider.scopes,
    state,
    code_challenge: base64Url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  location.assign(url.href);
}

/** Come back from the provider, where the address says so. @returns {Promise<boolean>} Whether somebody signed in. */
export async function returnFromProvider() {
  const told = new URLSearchParams(location.search);
  if (!told.has("state")) return false;
  const kept = JSON.parse(STORE.getItem(SIGNING_IN) ?? "null");
  STORE.removeItem(SIGNING_IN);
  history.replaceState(null, "", location.pathname + (kept?.hash ?? "")); // the code is used once
  if (!kept || kept.state !== told.get("state")) throw new Error("The sign-in was begun elsewhere: begin again here");
  if (told.has("error")) throw new Error(told.get("error_description") || "The provider refused to sign you in");
  const provider = await readProvider();
  const { token_endpoint: at } = await discover(provider.issuer);
  const answer = await fetch(at, {
    method: "POST",
    credentials: "omit",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: told.get("code") ?? "",
      redirect_uri: redirectUri(),
      client_id: provider.client_id ?? "",
      code_verifier: kept.verifier,
    }),
  });
  const tokens = await answer.json();
  if (!answer.ok || !tokens.access_token) throw new Error(tokens.error_description || "The provider gave no token");
  await signIn(tokens.access_token);
  return true;
}

async function identify(key) {
  const { get } = await import("./api.js");
  try {
    const me = await get("/me", {}, { key, tenant: null });
    return { role: me.role, tenant_id: me.tenant_id, user_id: me.user_id, key_id: me.key_id };
  } catch (error) {
    // The administrator is of no tenant: the route asks for one.
    if (error.status !== 422) throw error;
    return { role: "admin", tenant_id: null, user_id: null, key_id: null };
  }
}

async function discover(issuer) {
  const answer = await fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, { credentials: "omit" });
  if (!answer.ok) throw new Error("The provider did not answer");
  const found = await answer.json();
  if (found.issuer !== issuer) throw new Error("The provider calls itself otherwise");
  return found;
}

function keepTenant(tenantId) {
  if (tenantId) STORE.setItem(TENANT, tenantId);
  else STORE.removeItem(TENANT);
  tenant.value = tenantId;
}

function redirectUri() {
  return location.origin + location.pathname;
}

function randomText() {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64Url(values) {
  return btoa(String.fromCharCode(...values)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
