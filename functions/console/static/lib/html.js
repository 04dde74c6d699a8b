/** Templates: `html` makes Preact's elements of a template; a value in it is always text or an attribute, never markup. */
import { h } from "preact";
import htm from "htm";

/** Tagged template that makes elements: html`<p class="x">${value}</p>`. */
export const html = htm.bind(h);
