/** Signing in with a key or a user token, or with what the tab remembers; at a provider, see `provider.js`. */
import { get } from "./api.js";
import { caller, credential, keepCaller, signOut } from "./session.js";

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
