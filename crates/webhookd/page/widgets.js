// Parts that several views use.

import { cut, h } from "./dom.js";
import { count } from "./format.js";
import { link } from "./router.js";

// Characters of a text from outside that are shown in a row.
const SHORT = 120;
// A text up to this length is not broken into lines.
const ONE_WORD = 24;

// Paths of the icons, 16 by 16. An icon repeats what its words say.
const ICONS = {
  ok: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM5 8.2l2.2 2.2L11.2 6",
  retry: "M13 8a5 5 0 1 1-1.5-3.600M13 2v3h-3",
  clock: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM8 4.5V8l2.5 1.5",
  pause: "M5.5 3v10M10.5 3v10",
  stop: "M3.5 3.5h9v9h-9z",
  broken: "M8 1.5l6.800 12.5H1.2zM8 6v4M8 11.800v.7",
  full: "M2 4c0-3 12-3 12 0v8c0 3-12 3-12 0zM2 4c0 3 12 3 12 0M2 8c0 3 12 3 12 0",
  info: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM8 7.5v4M8 4.300v.9",
};

export const icon = (name) =>
  h("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: ICONS[name] }));

// A state: its words, with an icon and a colour.
export const badge = ({ word, icon: name, tone }, props = {}) =>
  h("span", { class: `badge ${tone}`, ...props }, icon(name), h("span", null, word));

const NONE = "–";

// What a cell without a value has.
const none = () => h("span", { class: "none muted" }, NONE);

// A text from outside, cut for display. The view of the thing itself shows it whole.
export function outside(text, length = SHORT) {
  if (text == null || text === "") return none();
  const title = text.length > length ? cut(text, 1000) : null;
  return h("bdi", { class: text.length > ONE_WORD ? "outside" : "outside short", title }, cut(text, length));
}

// A text from outside with its lines. A long one is cut until its details are opened.
export function block(text, { length = 4000, test } = {}) {
  if (text === "") return h("p", { class: "muted" }, "It is empty.");
  if (text.length <= length) return h("pre", { tabindex: "0", "data-test": test }, text);
  return h(
    "div",
    { "data-test": test },
    h("pre", { tabindex: "0" }, cut(text, length)),
    h(
      "details",
      null,
      h("summary", null, `All ${count(text.length)} characters`),
      h("pre", { tabindex: "0" }, text),
    ),
  );
}

// JSON with indentation; any other text as it is.
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function copyButton(text, what) {
  const copy = async (event) => {
    const button = event.currentTarget;
    await navigator.clipboard?.writeText(text);
    button.dataset.copied = "true";
    setTimeout(() => delete button.dataset.copied, 1500);
  };
  // Browsers have a clipboard for secure pages only.
  return (
    navigator.clipboard &&
    h("button", { type: "button", class: "small copy", on: { click: copy } }, `Copy ${what}`)
  );
}

// A section with its heading; `aside` stands beside the heading.
export const section = (title, { aside, test, key } = {}, ...content) =>
  h(
    "section",
    { "data-test": test, key },
    h("div", { class: "heading" }, h("h2", null, title), aside),
    content,
  );

// A figure with its name, and a line of explanation.
export const tile = ({ name, value, note, extra, test, tone }) =>
  h(
    "div",
    { class: `tile ${tone ?? ""}`, "data-test": test },
    h("dt", null, name),
    h("dd", null, h("strong", null, value), note && h("span", { class: "note" }, note), extra),
  );

// Rows of `{ key, cells, test, name, tone }` below `columns` of `{ label, end, heading }`; the first
// column heads a row unless another is to. On a narrow screen each row becomes a list of labels and
// values, so the roles are explicit.
export function table({ caption, columns, rows, test }) {
  const heading = Math.max(
    0,
    columns.findIndex((it) => it.heading),
  );
  const head = columns.map(({ label, end }) =>
    h("th", { role: "columnheader", scope: "col", class: end ? "end" : null }, label),
  );
  const cell = (content, index) =>
    h(
      index === heading ? "th" : "td",
      {
        role: index === heading ? "rowheader" : "cell",
        scope: index === heading ? "row" : null,
        class: columns[index].end ? "end" : null,
        "data-label": columns[index].label || null,
      },
      h("div", null, content === NONE ? none() : content),
    );
  return h(
    "div",
    { class: "wide" },
    h(
      "table",
      { role: "table", "data-test": test },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) =>
          h(
            "tr",
            { role: "row", key: row.key, class: row.tone, "data-test": row.test, "data-name": row.name },
            row.detail
              ? h("td", { role: "cell", class: "detail", colspan: columns.length }, row.detail)
              : row.cells.map(cell),
          ),
        ),
      ),
    ),
  );
}

// What is said where there is nothing, and what to do next.
export const empty = (title, ...next) =>
  h(
    "div",
    { class: "empty", "data-test": "empty" },
    h("p", null, h("strong", null, title)),
    h("p", null, next),
  );

export const notice = (tone, ...content) =>
  h("div", { class: `notice ${tone}` }, icon(tone === "info" ? "info" : "broken"), h("div", null, content));

// For a part of the page that this webhookd has no endpoint for.
export const missing = (path) =>
  h(
    "div",
    { class: "notice info", "data-test": "missing" },
    icon("info"),
    h(
      "div",
      null,
      "This webhookd does not have ",
      h("code", null, `GET /api/v1${path}`),
      ". A newer one shows it here.",
    ),
  );

export const loading = () => h("p", { class: "muted loading" }, "Loading …");

// A target's name, which leads to its view.
export const targetLink = (name, props = {}) =>
  h("a", { href: link("targets", [name]), class: name.length > ONE_WORD ? null : "name", ...props }, name);

// A button for an action that changes something. It is disabled with a read-only token.
export const action = (page, label, click, { test, tone, disabled } = {}) =>
  h(
    "button",
    {
      type: "button",
      class: tone ?? null,
      "data-test": test,
      disabled: disabled || page.readOnly,
      title: page.readOnly ? "The token in use allows reading only" : null,
      on: { click },
    },
    label,
  );
