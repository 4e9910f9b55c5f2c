// Line charts in SVG. The history's last point is now; older ones are to the left of it.

import { h } from "./dom.js";
import { clock } from "./time.js";

const POINTS = 360;

// A line without axes, for a figure of the last hour.
export function sparkline(values, label) {
  const known = values ?? [];
  return h(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${POINTS} 40`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    lines(known, 40, highest([known])),
  );
}

// A chart with axes and a legend. `series` are { name, values, tone }; `show` writes a value.
export function chart({ title, series, history, show, cursor, moved }) {
  const top = highest(series.map((it) => it.values)) || 1;
  const at = cursor ?? POINTS - 1;
  const moment = new Date(
    new Date(history.until).getTime() - (POINTS - 1 - at) * history.intervalSeconds * 1000,
  );
  const move = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    moved(Math.round(share * (POINTS - 1)));
  };
  const summary = series.map((it) => `${it.name}: now ${show(last(it.values))}`).join(", ");
  return h(
    "figure",
    { class: "chart" },
    h(
      "figcaption",
      null,
      h("strong", null, title),
      h("span", { class: "muted" }, cursor == null ? "now" : clock(moment)),
      series.map((it) =>
        h(
          "span",
          { class: "legend" },
          h("i", { class: `line ${it.tone}` }),
          `${it.name} `,
          h("b", null, show(valueAt(it.values, at))),
        ),
      ),
    ),
    h(
      "div",
      { class: "plot" },
      h("span", { class: "axis top" }, show(top)),
      h(
        "svg",
        {
          viewBox: `0 0 ${POINTS} 100`,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": `${title} in the last hour. ${summary}, highest ${show(top)}.`,
          on: { pointermove: move, pointerleave: () => moved(null) },
        },
        [0.5, 50, 99.5].map((y) => h("line", { class: "grid", x1: 0, x2: POINTS, y1: y, y2: y })),
        series.map((it) => lines(it.values, 100, top, it.tone)),
        cursor != null && h("line", { class: "cursor", x1: cursor, x2: cursor, y1: 0, y2: 100 }),
      ),
    ),
    h(
      "div",
      { class: "axis x" },
      ["60 min ago", "30 min", "now"].map((it) => h("span", null, it)),
    ),
  );
}

// Shares of a whole, as one bar and a legend. `parts` are { name, value, tone }.
export function shares(parts, label, show) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  let x = 0;
  const rects = parts.map((part) => {
    const width = total ? (part.value / total) * 100 : 0;
    const rect = h("rect", { class: part.tone, x, y: 0, width, height: 10 });
    x += width;
    return rect;
  });
  return h(
    "div",
    { class: "shares" },
    h("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label }, rects),
    h(
      "ul",
      { class: "legends" },
      parts.map((part) =>
        h("li", null, h("i", { class: `box ${part.tone}` }), `${part.name} `, h("b", null, show(part.value))),
      ),
    ),
  );
}

// The last known value of a series.
export const last = (values) => values?.findLast((value) => value != null) ?? null;

function valueAt(values, at) {
  return values?.[at - (POINTS - values.length)] ?? null;
}

function highest(series) {
  return series.flat().reduce((most, value) => Math.max(most, value ?? 0), 0);
}

// A line and the area below it, with a gap where values are null.
function lines(values, height, top, tone = "accent") {
  const first = POINTS - values.length;
  const runs = [];
  let run = null;
  values.forEach((value, index) => {
    if (value == null) {
      run = null;
      return;
    }
    if (!run) runs.push((run = []));
    const y = height - 1 - (top ? value / top : 0) * (height - 3);
    run.push(`${first + index},${y.toFixed(1)}`);
  });
  return runs.map((points) => [
    h("path", {
      class: `area ${tone}`,
      d: `M${points[0].split(",")[0]},${height}L${points.join("L")}V${height}Z`,
    }),
    h("path", { class: `line ${tone}`, d: `M${points.join("L")}${points.length === 1 ? "h1" : ""}` }),
  ]);
}
