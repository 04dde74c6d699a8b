/**
 * Stands in the page itself, before all that the page loads: who is signed in is asked while the modules are on their
 * way. `resume` of lib/signin.js takes the answer.
 */
{
  const key = sessionStorage.getItem("tenantry.key");
  if (key) {
    const headers = { Accept: "application/json", Authorization: `Bearer ${key}` };
    const answer = fetch("/api/v1/me", { headers, credentials: "omit", cache: "no-store", redirect: "error" });
    answer.catch(() => undefined); // who takes it handles it
    globalThis.begun = { key, answer };
  }
}
