/** Charts by day, as drawings of the page's own; a table with the same numbers stands beside each. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { compact } from "./format.js";

const LEFT = 56;
const BOTTOM = 22;
const TOP = 8;
const MOST = 8;

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {(number|null)[]} values One for each day.
 */

/**
 * A chart of values by day: stacked bars, or lines with `kind="lines"`.
 * @param {{title: string, days: string[], series: Series[], kind?: "bars"|"lines", format?: (value: number) => string, height?: number}} props
 *   `days` as 2026-01-31; of more than eight series the smallest are summed up as "Others".
 */
export function TimeChart({ title, days, series: given, kind = "bars", format = compact, height = 190 }) {
  const series = limitSeries(given, MOST);
  const [holder, width] = useWidth();
  const tops = days.map((_, at) => {
    const values = series.map((one) => one.values[at] ?? 0);
    return kind === "bars" ? values.reduce((sum, value) => sum + value, 0) : Math.max(0, ...values);
  });
  const highest = tops.indexOf(Math.max(...tops));
  const ticks = niceTicks(tops[highest] ?? 0);
  const space = { left: LEFT, width: Math.max(80, width - LEFT), height: height - TOP - BOTTOM, top: ticks.at(-1) };
  const spoken = tops[highest] > 0 ? `${title}: highest on ${days[highest]} with ${format(tops[highest])}; ${format(tops.at(-1))} on ${days.at(-1)}` : `${title}: nothing in these days`;
  return html`<figure class="chart">
    <figcaption>${title}${series.length > 1 && html`<span class="legend">${series.map((one, index) => html`<span key=${one.label}><i class=${`swatch swatch-${index}`}></i>${one.label}</span>`)}</span>`}</figcaption>
    <div class="plot" ref=${holder}><svg role="img" aria-label=${spoken} width=${width} height=${height}>
      <${Axes} days=${days} ticks=${ticks} space=${space} format=${format} />
      ${kind === "bars" ? html`<${Bars} days=${days} series=${series} space=${space} />` : html`<${Lines} days=${days} series=${series} space=${space} />`}
      ${days.map((day, at) => html`<rect key=${day} class="chart-day" x=${placeOf(at, days, space)} y=${TOP} width=${space.width / days.length} height=${space.height}>
        <title>${[day, ...series.map((one) => `${one.label}: ${one.values[at] == null ? "–" : format(one.values[at])}`)].join("\n")}</title></rect>`)}
    </svg></div>
    <details><summary>Numbers of “${title}”</summary><div class="table-wrap" role="region" aria-label=${`Numbers of ${title}`} tabindex="0"><table class="large">
      <thead><tr><th scope="col">Day</th>${series.map((one) => html`<th scope="col" class="right" key=${one.label}>${one.label}</th>`)}</tr></thead>
      <tbody>${days.map((day, at) => html`<tr key=${day}><th scope="row">${day}</th>${series.map((one) => html`<td class="right" key=${one.label}>${one.values[at] == null ? "–" : format(one.values[at])}</td>`)}</tr>`)}</tbody>
    </table></div></details>
  </figure>`;
}

/** Keep the largest series, and sum up the others. @param {Series[]} series @param {number} most @returns {Series[]} */
export function limitSeries(series, most) {
  if (series.length <= most) return series;
  const sum = (one) => one.values.reduce((whole, value) => whole + (value ?? 0), 0);
  const sorted = [...series].sort((one, other) => sum(other) - sum(one));
  const rest = sorted.slice(most - 1);
  const values = rest[0].values.map((_, at) => rest.reduce((whole, one) => whole + (one.values[at] ?? 0), 0));
  return [...sorted.slice(0, most - 1), { label: "Others", values }];
}

/** Round numbers from 0 to beyond the highest value: niceTicks(7) is [0, 2, 4, 6, 8]. @param {number} highest @returns {number[]} */
export function niceTicks(highest) {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const count = Math.ceil(highest / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)));
}

function placeOf(at, days, { left, width }) {
  return left + (at * width) / days.length;
}

function heightOf(value, { height, top }) {
  return (value / top) * height;
}

function Axes({ days, ticks, space, format }) {
  const every = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(space.width / 64))));
  const base = TOP + space.height;
  return html`<g class="chart-axes">
    ${ticks.map((tick) => html`<line key=${tick} x1=${LEFT} x2=${LEFT + space.width} y1=${base - heightOf(tick, space)} y2=${base - heightOf(tick, space)} />
      <text x=${LEFT - 8} y=${base - heightOf(tick, space) + 4} text-anchor="end">${format(tick)}</text>`)}
    ${days.map((day, at) => at % every === 0 && html`<text key=${day} x=${placeOf(at + 0.5, days, space)} y=${base + 16} text-anchor="middle">${day.slice(5)}</text>`)}
  </g>`;
}

function Bars({ days, series, space }) {
  const wide = space.width / days.length;
  return html`${days.map((day, at) => {
    let y = TOP + space.height;
    return series.map((one, index) => {
      const size = heightOf(one.values[at] ?? 0, space);
      y -= size;
      return size > 0 && html`<rect key=${`${day}/${one.label}`} class=${`series-${index}`} x=${placeOf(at, days, space) + wide * 0.14} y=${y} width=${wide * 0.72} height=${size} rx=${Math.min(2, size / 2)} />`;
    });
  })}`;
}

function Lines({ days, series, space }) {
  return series.map((one, index) => {
    const points = one.values.map((value, at) => value !== null && [placeOf(at + 0.5, days, space), TOP + space.height - heightOf(value, space)]);
    const path = points.map((point, at) => point && `${at > 0 && points[at - 1] ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`).filter(Boolean).join("");
    return html`<g key=${one.label}><path class=${`line-${index}`} d=${path} />${points.map((point, at) => point && html`<circle key=${at} class=${`series-${index}`} cx=${point[0]} cy=${point[1]} r="2.5" />`)}</g>`;
  });
}

function useWidth() {
  const holder = useRef(null);
  const [width, setWidth] = useState(480);
  useEffect(() => {
    const watch = new ResizeObserver(([seen]) => setWidth(Math.floor(seen.contentRect.width)));
    watch.observe(holder.current);
    return () => watch.disconnect();
  }, []);
  return [holder, width];
}

/**
 * Values by name as bars below each other, their numbers beside them.
 * @param {{title: string, items: {label: string, value: number, href?: string}[], format?: (value: number) => string}} props
 */
export function BarList({ title, items, format = compact }) {
  const highest = Math.max(0, ...items.map((one) => one.value));
  return html`<ul class="bar-list" aria-label=${title}>${items.map((one) => html`<li key=${one.label}>
    <span class="bar-name">${one.href ? html`<a href=${one.href}>${one.label}</a>` : one.label}</span>
    <span class="bar-lane" aria-hidden="true"><i style=${{ width: `${highest ? (100 * one.value) / highest : 0}%` }}></i></span>
    <span class="right">${format(one.value)}</span></li>`)}</ul>`;
}
