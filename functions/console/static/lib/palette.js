/** The palette (⌘K, Ctrl-K): pages, and by name the tenant's prompts and bots, and tenants. Also the list of keys. */
import { html } from "./html.js";
import { get } from "./api.js";
import { fill, leaveFor, navigate } from "./router.js";
import { activeTenant, can, pickTenant } from "./session.js";
import { Chooser, findTenants, visiblePages } from "./shell.js";
import { Dialog } from "./ui.js";

/** The palette. @param {{onClose: () => void}} props */
export function Palette({ onClose }) {
  const choose = (one) => {
    onClose();
    one.go();
  };
  return html`<${Dialog} title="Find" onClose=${onClose}><${Chooser} label="Find pages, prompts, bots and tenants" search=${search} onChoose=${choose} /><//>`;
}

/** The keys that work everywhere. @param {{onClose: () => void}} props */
export function Keys({ onClose }) {
  const keys = [["⌘K or Ctrl-K", "Find a page, a prompt, a bot or a tenant"], ["?", "Show this list"], ["Escape", "Close what is open"], ["Tab, Shift-Tab", "Go through what can be worked with"], ["Arrows", "Move through tabs and lists"], ["⌘S or Ctrl-S", "Save what is edited"]];
  return html`<${Dialog} title="Keys" onClose=${onClose}><div class="dialog-body"><dl class="facts">${keys.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl></div><//>`;
}

async function search(text, stop) {
  const wanted = text.trim().toLowerCase();
  const pages = visiblePages()
    .filter((page) => page.group && page.title.toLowerCase().includes(wanted))
    .map((page) => ({ id: page.path, label: page.title, hint: "Page", go: () => navigate(page.path) }));
  if (!wanted) return pages;
  const found = await Promise.all([prompts(text.trim(), stop), bots(text.trim(), stop), tenants(text.trim(), stop)]);
  return [...pages, ...found.flat()];
}

/** Whether names of prompts and ids of bots can begin so: the API refuses what none does. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

async function prompts(prefix, stop) {
  if (!activeTenant.value || !NAME.test(prefix)) return [];
  const { items } = await get("/prompts", { prefix, limit: 8 }, { signal: stop });
  return items.map(({ name }) => ({ id: name, label: name, hint: "Prompt", go: () => navigate(fill("/prompts/:name", { name })) }));
}

async function bots(prefix, stop) {
  if (!activeTenant.value || !NAME.test(prefix)) return [];
  const { items } = await get("/bots", { prefix, limit: 8 }, { signal: stop });
  return items.map(({ bot_id: id }) => ({ id, label: id, hint: "Bot", go: () => navigate(fill("/bots/:bot_id", { bot_id: id })) }));
}

async function tenants(prefix, stop) {
  if (!can("admin")) return [];
  const found = await findTenants(prefix, stop, 8);
  const go = (id) => () => leaveFor(() => (pickTenant(id), navigate("/overview")));
  return found.map((one) => ({ id: one.tenant_id, label: one.name, hint: `Tenant ${one.tenant_id}`, go: go(one.tenant_id) }));
}
