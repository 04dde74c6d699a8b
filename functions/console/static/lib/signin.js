/** Ways to sign in: with a key or a user token, with what the tab remembers, at a provider. */
import { get } from "./api.js";
import { caller, credential, keepCaller, signOut } from "./session.js";

const SIGNING_IN = "tenantry.signing_in";

/** Sign in with a key or a user token. @param {string} key @returns {Promise<import("./session.js").Caller>} @throws {ApiError} It is not in force. */
export async function signIn(key) {
  const found = await identify(key);
  keepCaller(key, found);
  return found;
}

/** Sign in again with what the tab remembers. @returns {Promise<void>} */
export async function resume() {
  const key = credential.value;
  if (!key) return;
  const { begun } = globalThis; // by begin.js
  globalThis.begun = undefined;
  try {
    caller.value = await identify(key, begun?.key === key ? begun.answer : undefined);
  } catch (error) {
    if (error.status === 401) signOut();
    else throw error;
  }
}

/** Find out whose a key is. @param {string} key @param {Promise<Response>} [answer] Its answer, where it was asked before. @returns {Promise<import("./session.js").Caller>} @throws {ApiError} It is not in force. */
export async function identify(key, answer) {
  try {
    const me = await get("/me", {}, { key, tenant: null, answer });
    return { role: me.role, tenant_id: me.tenant_id, user_id: me.user_id, key_id: me.key_id };
  } catch (error) {
    // The administrator is of no tenant: the route asks for one.
    if (error.status !== 422) throw error;
    return { role: "admin", tenant_id: null, user_id: null, key_id: null };
  }
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
  sessionStorage.setItem(SIGNING_IN, JSON.stringify({ verifier, state, hash: location.hash }));
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
  const kept = JSON.parse(sessionStorage.getItem(SIGNING_IN) ?? "null");
  sessionStorage.removeItem(SIGNING_IN);
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

async function discover(issuer) {
  const answer = await fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, { credentials: "omit" });
  if (!answer.ok) throw new Error("The provider did not answer");
  const found = await answer.json();
  if (found.issuer !== issuer) throw new Error("The provider calls itself otherwise");
  return found;
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
