/**
 * Who is signed in, and for which tenant. The credential is kept in sessionStorage: it ends with the tab, and no other
 * tab has it.
 */
import { computed, signal } from "@preact/signals";

const STORE = globalThis.sessionStorage;
const KEY = "tenantry.key";
const TENANT = "tenantry.tenant";

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

/** Keep who has signed in, and with what. @param {string} key @param {Caller} found */
export function keepCaller(key, found) {
  if (found.role !== "admin") keepTenant(null);
  credential.value = key;
  STORE.setItem(KEY, key);
  caller.value = found;
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

function keepTenant(tenantId) {
  if (tenantId) STORE.setItem(TENANT, tenantId);
  else STORE.removeItem(TENANT);
  tenant.value = tenantId;
}
