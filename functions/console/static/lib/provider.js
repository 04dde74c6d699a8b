/**
 * Signing in at a provider (OpenID Connect): authorization code with PKCE, RFC 6749 and RFC 7636. The page itself leaves
 * and comes back, or it stays, with all that is edited on it, while a window of its own goes there.
 */
import { signIn } from "./signin.js";

const SIGNING_IN = "tenantry.signing_in";
const BESIDE = ".beside"; // ends the state of a sign-in in a window of its own
const CHANNEL = "tenantry.sign_in";
const SIZE = "popup,width=520,height=720";

/** @typedef {{issuer: string, client_id: string, scopes: string}} Provider */

/** Read how people may sign in beside a key. @returns {Promise<Provider|{issuer: null, client_id: null, scopes: null}>} */
export async function readProvider() {
  const answer = await fetch("/api/console/config.json", { credentials: "omit" });
  return answer.ok ? answer.json() : { issuer: null, client_id: null, scopes: null };
}

/** Leave for the provider. @param {Provider} provider */
export async function leaveForProvider(provider) {
  const { url, ...kept } = await begin(provider, "");
  sessionStorage.setItem(SIGNING_IN, JSON.stringify({ ...kept, hash: location.hash }));
  location.assign(url);
}

/** Come back from the provider; the address says how it ended. @returns {Promise<boolean>} Whether somebody signed in; not where this window was only to hand over what the provider said. */
export async function returnFromProvider() {
  const told = Object.fromEntries(new URLSearchParams(location.search));
  const kept = JSON.parse(sessionStorage.getItem(SIGNING_IN) ?? "null");
  sessionStorage.removeItem(SIGNING_IN);
  history.replaceState(null, "", location.pathname + (kept?.hash ?? location.hash)); // the code is used once
  if (told.state.endsWith(BESIDE)) {
    handOver(told);
    return false;
  }
  if (!kept || kept.state !== told.state) throw new Error("The sign-in was begun elsewhere: begin again here");
  const token = await redeem(told, kept.verifier);
  try {
    await signIn(token);
  } catch (error) {
    if (error.status !== 401) throw error;
    throw Object.assign(new Error("Your provider knows you, but your account is not valid here."), { hint: "Ask an administrator of your tenant to let it in." });
  }
  return true;
}

/**
 * Sign in at the provider in a window of its own. What it answers is of use to this page alone, which has the verifier.
 * @param {Provider} provider @param {AbortSignal} signal Stops waiting for it. @returns {Promise<string>} The user's token.
 */
export async function signInBeside(provider, signal) {
  const shown = globalThis.open("", CHANNEL, SIZE); // before anything is awaited: a click may open a window
  if (!shown) throw Object.assign(new Error("The browser opened no window for your provider."), { hint: "Allow this page to open one, then try again; or enter a key." });
  shown.sessionStorage.clear(); // it began as a copy of this tab's
  shown.opener = null;
  const { url, state, verifier } = await begin(provider, BESIDE).catch((error) => {
    shown.close();
    throw error;
  });
  const told = hear(state, signal);
  shown.location.replace(url);
  return redeem(await told, verifier);
}

function handOver(told) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(told);
  channel.close();
  globalThis.close();
}

async function hear(state, signal) {
  const channel = new BroadcastChannel(CHANNEL);
  try {
    return await new Promise((done, stop) => {
      channel.onmessage = ({ data }) => data?.state === state && done(data);
      signal.addEventListener("abort", () => stop(signal.reason), { once: true });
    });
  } finally {
    channel.close();
  }
}

/** Begin a sign-in: where to go, and what proves afterwards that it began here. */
async function begin(provider, mark) {
  const { authorization_endpoint: at } = await discover(provider.issuer);
  const [verifier, state] = [randomText(), randomText() + mark];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
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
  return { url: url.href, state, verifier };
}

/** Exchange what the provider answered for a token. @param {Record<string, string>} told @param {string} verifier @returns {Promise<string>} */
async function redeem(told, verifier) {
  if (told.error) throw new Error(told.error_description || "The provider refused to sign you in");
  const provider = await readProvider();
  const { token_endpoint: at } = await discover(provider.issuer);
  const form = { grant_type: "authorization_code", code: told.code ?? "", redirect_uri: redirectUri(), client_id: provider.client_id ?? "", code_verifier: verifier };
  const { ok, told: tokens } = await ask(at, { method: "POST", body: new URLSearchParams(form) });
  if (!ok || !tokens.access_token) throw new Error(tokens.error_description || "The provider gave no token");
  return tokens.access_token;
}

async function discover(issuer) {
  const { ok, told } = await ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (!ok) throw unanswered();
  if (told.issuer !== issuer) throw new Error("The provider calls itself otherwise");
  return told;
}

async function ask(url, init = {}) {
  try {
    const answer = await fetch(url, { ...init, credentials: "omit" });
    return { ok: answer.ok, told: await answer.json() };
  } catch {
    throw unanswered(); // it is down, or what stands in its place does not speak its language
  }
}

function unanswered() {
  return Object.assign(new Error("The provider did not answer."), { hint: "Try again in a moment, or sign in with a key." });
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
