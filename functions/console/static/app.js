/** Entry: signs in, finds the page of the address, and draws it in the frame. */
import { Component, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./lib/html.js";
import { PAGES, homeOf } from "./lib/pages.js";
import { match, navigate, place, startRouter } from "./lib/router.js";
import { activeTenant, caller, can } from "./lib/session.js";
import { resume } from "./lib/signin.js";
import { LeavingQuestion, Reauthentication, Shell, SignIn, applyTheme, overlay } from "./lib/shell.js";
import { Button, Empty, ErrorBox, Page, Progress, Toasts, announceNextPage } from "./lib/ui.js";

function App({ failed }) {
  if (!caller.value) return html`<${SignIn} failed=${failed} /><${Toasts} />`;
  return html`<${Shell}><${Visited} key=${`${activeTenant.value}:${place.value.path}`} path=${place.value.path} /><//>
    <${Overlay} /><${LeavingQuestion} /><${Reauthentication} /><${Toasts} />`;
}

function Visited({ path }) {
  const [module, setModule] = useState(null);
  const [error, setError] = useState(null);
  const { page, params } = findPage(path);
  const home = path === "/" ? homeOf(caller.value.role, Boolean(activeTenant.value)) : null;
  useEffect(() => {
    if (home) navigate(home, {}, { replace: true });
    else page?.load().then((loaded) => setModule(loaded), setError);
  }, [page, home]);
  if (home) return null;
  if (!page) return html`<${Page} title="No such page"><${Empty} title="Nothing has this address"><a href="#/">Go to the first page</a><//><//>`;
  if (!can(page.role)) return html`<${Page} title=${page.title}><${Empty} title="Your role may not see this page">Ask an administrator of your tenant.<//><//>`;
  if (!page.platform && !activeTenant.value) return html`<${Page} title=${page.title}><${Empty} title="Pick a tenant first">The button is at the top; this page is about one tenant.<//><//>`;
  if (error) return html`<${Page} title=${page.title}><${ErrorBox} error=${{ message: "The page could not be loaded.", hint: "There may be a newer version of the console." }} /><${Button} onClick=${() => location.reload()}>Load the console again<//><//>`;
  if (!module) return html`<${Progress} label="Loading the page…" />`;
  return html`<${Guard}><${module.default} params=${params} query=${place.value.query} /><//>`;
}

/** Shows what a page failed with instead of an empty window. */
class Guard extends Component {
  componentDidCatch(error) {
    this.setState({ error });
  }

  render({ children }, { error }) {
    if (!error) return children;
    return html`<${Page} title="The page failed"><${ErrorBox} error=${{ message: error.message, hint: "Load the console again; if it stays, tell whoever runs the platform." }} /><//>`;
  }
}

function Overlay() {
  const [module, setModule] = useState(null);
  const open = overlay.value;
  useEffect(() => {
    if (open && !module) import("./lib/palette.js").then(setModule);
  }, [open]);
  if (!open || !module) return null;
  const close = () => (overlay.value = null);
  return open === "palette" ? html`<${module.Palette} onClose=${close} />` : html`<${module.Keys} onClose=${close} />`;
}

function findPage(path) {
  for (const page of PAGES) {
    const params = match(page.path, path);
    if (params) return { page, params };
  }
  return { page: null, params: {} };
}

function onKey(event) {
  if (!caller.value) return;
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") overlay.value = overlay.value ? null : "palette";
  else if (event.key === "?" && !typing && !document.querySelector("dialog[open]")) overlay.value = "keys";
  else return;
  event.preventDefault();
}

async function start() {
  applyTheme();
  addEventListener("keydown", onKey);
  let failed = null;
  const fail = (error) => void (failed = error);
  const returns = new URLSearchParams(location.search).has("state");
  // A link can pretend to come from the provider: who is signed in stays so.
  if (!returns || !(await import("./lib/provider.js").then((ways) => ways.returnFromProvider()).catch(fail))) await resume().catch(fail);
  startRouter();
  let { path } = place.value;
  place.subscribe((now) => {
    if (now.path === path) return;
    path = now.path;
    announceNextPage();
    scrollTo(0, 0);
  });
  const root = document.getElementById("app");
  root.replaceChildren();
  render(html`<${App} failed=${failed} />`, root);
}

start();
