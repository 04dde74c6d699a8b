/** Frame of all pages: menu, tenant, palette, theme, and the way to sign in. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { get } from "./api.js";
import { GROUPS, PAGES } from "./pages.js";
import { answerLeaving, leaveFor, leaving, link, navigate, place } from "./router.js";
import { activeTenant, caller, can, isSameCaller, pickTenant, reauthentication, signOut } from "./session.js";
import { identify, signIn } from "./signin.js";
import { Button, Dialog, ErrorBox, Field, classes } from "./ui.js";
import { words } from "./format.js";

const THEME = "tenantry.theme";
const THEMES = ["system", "light", "dark"];
const theme = signal(localStorage.getItem(THEME) ?? "system");

/** Whether the palette or the list of keys is open. @type {import("@preact/signals").Signal<"palette"|"keys"|null>} */
export const overlay = signal(null);

/** Show the theme that was chosen before. */
export function applyTheme() {
  document.documentElement.dataset.theme = theme.value;
}

/** The pages that the caller may see with the tenant that is picked. @returns {import("./pages.js").PageEntry[]} */
export function visiblePages() {
  return PAGES.filter((page) => can(page.role) && (page.platform || activeTenant.value));
}

/** The page to sign in. @param {{failed?: any}} props */
export function SignIn({ failed }) {
  useEffect(() => {
    document.title = "Sign in · Tenantry";
  }, []);
  return html`<main class="sign-in"><div class="card">
    <${Logo} /><h1>Sign in to Tenantry</h1>
    <${SignInForm} failed=${failed} onDone=${() => undefined} />
    <p class="muted">A key is kept in this tab, and gone when you sign out or close it. A tab that you duplicate has it, too.</p>
  </div></main>`;
}

/** Fields to sign in; with `check`, which may refuse who it is, the page stays while a provider is asked. @param {{failed?: any, onDone: () => void, check?: (key: string) => Promise<void>}} props */
export function SignInForm({ failed, onDone, check }) {
  const [key, setKey] = useState("");
  const [error, setError] = useState(failed ?? null);
  const [provider, setProvider] = useState(null);
  const asked = useRef(null);
  useEffect(() => {
    // A key works without.
    import("../lib/provider.js").then(async (ways) => setProvider({ ways, at: await ways.readProvider() })).catch(() => undefined);
    return () => asked.current?.abort();
  }, []);
  const goToProvider = () => {
    const { ways, at } = provider;
    if (!check) return ways.leaveForProvider(at);
    asked.current?.abort(); // whose window was closed is opened again
    asked.current = new AbortController();
    const { signal } = asked.current;
    return void enter(() => ways.signInBeside(at, signal)); // a window may stay open: the button is not held
  };
  const enter = async (take) => {
    setError(null);
    try {
      const given = await take();
      await check?.(given);
      await signIn(given);
      onDone();
    } catch (refused) {
      if (refused.name === "AbortError") return;
      setError(refused.status === 401 ? { message: "This key is not valid.", hint: "Check that the whole key was copied. It may have expired or been revoked." } : refused);
    }
  };
  const submit = (event) => {
    event.preventDefault();
    event.currentTarget.querySelector("button[type=submit]").click();
  };
  return html`<form onSubmit=${(event) => event.preventDefault()} onKeyDown=${(event) => event.key === "Enter" && event.target.tagName === "INPUT" && submit(event)}>
    <${Field} label="API key">${(id, described) => html`<input id=${id} aria-describedby=${described} type="password" autocomplete="off" required spellcheck=${false}
      value=${key} onInput=${(event) => setKey(event.target.value)} />`}<//>
    <${ErrorBox} error=${error} />
    <${Button} kind="primary" type="submit" disabled=${!key.trim()} onClick=${() => enter(() => key.trim())}>Sign in<//>
    ${provider?.at.client_id && html`<p class="or">or</p><${Button} onClick=${goToProvider}>Sign in with your organisation<//>`}
  </form>`;
}

/** The question for another key over the page, when one is refused in the middle of work. */
export function Reauthentication() {
  const asked = reauthentication.value;
  if (!asked) return null;
  const check = async (key) => {
    const me = await identify(key);
    if (!isSameCaller(me, caller.value)) {
      throw new Error("This key is another tenant's, another user's or another role's. What you were doing was not theirs: sign out first.");
    }
  };
  return html`<${Dialog} title="Sign in again" onClose=${() => asked.answer(false)}>
    <div class="dialog-body"><p>What you signed in with is not valid any more. What you were doing is kept, and goes on after you have signed in.</p>
    <${SignInForm} check=${check} onDone=${() => asked.answer(true)} /></div>
  <//>`;
}

/** The question before unsaved work is left. */
export function LeavingQuestion() {
  if (!leaving.value) return null;
  return html`<${Dialog} title="Leave without saving?" onClose=${() => answerLeaving(false)}>
    <div class="dialog-body"><p>What you changed on this page was not saved.</p></div>
    <footer><${Button} onClick=${() => answerLeaving(false)}>Stay<//><${Button} kind="danger" onClick=${() => answerLeaving(true)}>Leave<//></footer>
  <//>`;
}

/** The frame around a page. @param {{children: any}} props */
export function Shell({ children }) {
  const [open, setOpen] = useState(false);
  const here = place.value.path;
  useEffect(() => setOpen(false), [here]);
  return html`<a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), document.getElementById("main").focus())}>Skip to content</a>
    <header class="top">
      <button type="button" class="menu-button" aria-expanded=${open ? "true" : "false"} aria-controls="menu" onClick=${() => setOpen(!open)}>Menu</button>
      <a class="brand" href="#/"><${Logo} /><span>Tenantry</span></a>
      <${TenantPicker} />
      <span class="grow"></span>
      <button type="button" class="find" onClick=${() => (overlay.value = "palette")} aria-keyshortcuts="Control+K Meta+K">Find<kbd>${isMac() ? "⌘" : "Ctrl"} K</kbd></button>
      <${ThemeSwitch} />
      <${Account} />
    </header>
    <nav id="menu" class=${classes("menu", open && "menu-open")} aria-label="Pages"><${Menu} here=${here} /></nav>
    <main id="main" tabindex="-1">${children}</main>`;
}

function Menu({ here }) {
  const pages = visiblePages();
  return html`${GROUPS.map((group) => {
    const found = pages.filter((page) => page.group === group);
    if (!found.length) return null;
    return html`<div class="menu-group" key=${group}><h2>${group}</h2><ul>${found.map((page) => {
      const current = here === page.path || here.startsWith(`${page.path}/`);
      return html`<li key=${page.path}><a href=${link(page.path)} aria-current=${current ? "page" : undefined}>${page.title}</a></li>`;
    })}</ul></div>`;
  })}`;
}

/** The tenant that pages are about: an administrator picks it, the others see it. */
function TenantPicker() {
  const [choosing, setChoosing] = useState(false);
  if (caller.value.role !== "admin") return html`<span class="tenant" title="Your tenant">${caller.value.tenant_id}</span>`;
  return html`<button type="button" class="tenant tenant-button" aria-haspopup="dialog" onClick=${() => setChoosing(true)}>
      <span class="sr">Tenant: </span>${activeTenant.value ?? "Pick a tenant"} <span aria-hidden="true">▾</span></button>
    ${choosing && html`<${TenantDialog} onClose=${() => setChoosing(false)} />`}`;
}

/** Find tenants whose id or name begins with a text. @param {string} text @param {AbortSignal} [stop] @param {number} [limit] @returns {Promise<any[]>} */
export async function findTenants(text, stop, limit = 20) {
  return (await get("/tenants", { prefix: text.trim(), limit }, { tenant: null, signal: stop })).items;
}

function TenantDialog({ onClose }) {
  const pick = (chosen) => {
    onClose();
    leaveFor(() => (pickTenant(chosen), navigate(chosen ? "/overview" : "/tenants")));
  };
  const none = { id: null, label: "No tenant", hint: "the platform itself" };
  const search = async (text, stop) => {
    const found = (await findTenants(text, stop)).map((one) => ({ id: one.tenant_id, label: one.name, hint: one.tenant_id }));
    return text ? found : [none, ...found];
  };
  return html`<${Dialog} title="Pick a tenant" onClose=${onClose}><${Chooser} label="Find a tenant" search=${search} onChoose=${(one) => pick(one.id)} /><//>`;
}

/**
 * A field over a list of what was found; arrows move, Enter chooses.
 * @param {{label: string, search: (text: string, signal: AbortSignal) => Promise<{id: any, label: string, hint?: string}[]>, onChoose: (one: any) => void}} props
 */
export function Chooser({ label, search, onChoose }) {
  const id = useId();
  const [text, setText] = useState("");
  const [found, setFound] = useState([]);
  const [at, setAt] = useState(0);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(true);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  useEffect(() => {
    const stop = new AbortController();
    setBusy(true);
    const timer = setTimeout(async () => {
      try {
        const answer = await search(text, stop.signal);
        if (stop.signal.aborted) return;
        setFound(answer);
        setAt(0);
        setError(null);
      } catch (failed) {
        if (!stop.signal.aborted) setError(failed);
      }
      if (!stop.signal.aborted) setBusy(false);
    }, text ? 150 : 0);
    return () => (clearTimeout(timer), stop.abort());
  }, [text]);
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) setAt((at + step + found.length) % found.length);
    else if (event.key === "Enter" && found[at]) onChoose(found[at]);
    else return;
    event.preventDefault();
  };
  return html`<div class="chooser">
    <input ref=${field} autofocus type="text" role="combobox" aria-label=${label} placeholder=${label} aria-expanded="true" aria-autocomplete="list" aria-controls=${`${id}-list`} autocomplete="off"
      aria-activedescendant=${found[at] ? `${id}-${at}` : undefined} value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown} />
    <${ErrorBox} error=${error} />
    <ul role="listbox" id=${`${id}-list`} aria-label=${label}>${found.map((one, index) => html`<li key=${`${one.hint}:${one.id}`} id=${`${id}-${index}`} role="option" aria-selected=${index === at ? "true" : "false"}
      ref=${(element) => index === at && element?.scrollIntoView({ block: "nearest" })} onClick=${() => onChoose(one)}><span>${one.label}</span>${one.hint && html`<span class="muted">${one.hint}</span>`}</li>`)}</ul>
    <p class="muted chooser-state" role="status">${busy ? "Looking…" : found.length ? `${found.length} found` : "Nothing found"}</p>
  </div>`;
}

function ThemeSwitch() {
  const next = () => {
    theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
    localStorage.setItem(THEME, theme.value);
    applyTheme();
  };
  return html`<button type="button" class="icon-button" onClick=${next} aria-label=${`Colours: ${theme.value}`} title=${`Colours: ${theme.value}`}>
    <span aria-hidden="true">${{ system: "◐", light: "☀", dark: "☾" }[theme.value]}</span></button>`;
}

function Account() {
  const { role, user_id: user } = caller.value;
  return html`<span class="account"><span class="muted account-role">${user ?? words(role)}</span><${Button} kind="link" onClick=${() => leaveFor(signOut)}>Sign out<//></span>`;
}

/** The mark of the product. */
export function Logo() {
  return html`<svg class="logo" viewBox="0 0 32 32" aria-hidden="true" width="28" height="28"><rect width="32" height="32" rx="8" class="logo-ground" /><path d="M8 10h16M16 10v13M11 16h3M18 16h3" class="logo-lines" /></svg>`;
}

function isMac() {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}

