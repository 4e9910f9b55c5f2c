// Configuration: what is in force, the last reload, and a check of a new file.

import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { counted } from "./format.js";
import { ago } from "./time.js";
import { action, badge, block, copyButton, empty, notice, outside, section } from "./widgets.js";

// Lines around a problem that are shown.
const CONTEXT = 2;
const REFRESH_MS = 10_000;

export function config(page) {
  let shown;
  let checked = null;
  let reloaded = null;

  async function load() {
    shown = await api.getKept("/config", REFRESH_MS);
    if (shown.hash !== page.status.config.hash) shown = await api.getKept("/config", 0);
  }

  function render() {
    const text = JSON.stringify(shown.config, null, 2);
    return [
      section(
        "File",
        { aside: action(page, "Reload", reload, { test: "reload", tone: "primary" }), key: "file" },
        file(page.status.config),
        reloaded && reloadResult(reloaded),
      ),
      section(
        "Check a new file",
        { key: "check", test: "validate" },
        form(),
        checked && checkResult(checked),
      ),
      section(
        "In force",
        { aside: copyButton(text, "the configuration"), key: "force" },
        h("p", { class: "muted" }, "With all defaults. Secrets are masked."),
        block(text, { length: 50_000, test: "config" }),
      ),
    ];
  }

  function reload() {
    confirm({
      title: "Reload the configuration",
      prepare: () => ({
        question: `Read ${shown.path} and put it in force?`,
        note: "An invalid file changes nothing.",
        label: "Reload",
      }),
      run: async () => {
        try {
          reloaded = { answer: await api.post("/reload") };
          return "The file is in force.";
        } catch (error) {
          reloaded = { error };
          throw error;
        } finally {
          page.reload();
        }
      },
    });
  }

  function form() {
    const submit = async (event) => {
      event.preventDefault();
      const text = document.getElementById("config-text").value;
      try {
        checked = { text, ...(await api.findByText("/config/validate", text)) };
      } catch (error) {
        checked = { text, error };
      }
      page.refresh();
    };
    return h(
      "form",
      { on: { submit } },
      h("label", { for: "config-text" }, "Text of a webhook.json"),
      h("textarea", { id: "config-text", rows: 8, spellcheck: "false", placeholder: "{ … }" }),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", "data-test": "validate-submit" }, "Check"),
        h(
          "span",
          { class: "muted" },
          page.readOnly
            ? "Nothing is changed. Files and variables that it names are not read with a read-only token."
            : "Nothing is changed.",
        ),
      ),
    );
  }

  return { title: "Configuration", load, render };
}

const RELOADS = {
  success: { word: "Reloaded", icon: "ok", tone: "good" },
  failure: { word: "The last reload failed", icon: "broken", tone: "bad" },
};

function file(state) {
  const facts = [
    ["Path", outside(state.path)],
    ["In force since", ago(state.loadedAt)],
    [
      "Last reload",
      state.lastReload
        ? badge(RELOADS[state.lastReload], { "data-test": "last-reload" })
        : "None since the start",
    ],
    ["Reloads", `${state.reloads} succeeded, ${state.failedReloads} failed`],
    ["SHA-256", h("code", { class: "hash" }, state.hash)],
  ];
  const hint =
    state.lastReload === "failure" &&
    notice(
      "bad",
      "The file was changed and is not valid; the one before it is in force. Reload shows what is wrong with it.",
    );
  return [
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    ),
    hint,
  ];
}

function reloadResult({ answer, error }) {
  if (error) {
    const list = error.problem?.diagnostics;
    return h(
      "div",
      { class: "stack", "data-test": "reload-result" },
      notice("bad", list ? "The file is not valid, and nothing was changed." : error.message),
      list && diagnosticsList(list),
    );
  }
  const names = (label, list) => list.length > 0 && h("li", null, `${label}: ${list.join(", ")}`);
  const { changes } = answer;
  const lines = [
    names("Targets added", changes.added),
    names("Targets changed", changes.changed),
    names("Targets removed", changes.removed),
    names("Inputs changed", changes.inputs),
    names("Takes effect at the next start", answer.restartNeeded),
  ].filter(Boolean);
  return h(
    "div",
    { class: "stack", "data-test": "reload-result" },
    notice("good", "The file is in force.", lines.length ? h("ul", null, lines) : " Nothing changed."),
    diagnosticsList(answer.warnings),
  );
}

function checkResult({ text, valid, diagnostics, error }) {
  if (error) return notice("bad", error.message);
  const errors = diagnostics.filter((it) => it.severity === "error").length;
  const warnings = diagnostics.length - errors;
  const words = valid
    ? `The file is valid${warnings ? `, with ${counted(warnings, "warning")}` : ""}.`
    : `The file is not valid: ${counted(errors, "error")}${warnings ? `, ${counted(warnings, "warning")}` : ""}.`;
  return h(
    "div",
    { class: "stack", "data-test": "validate-result" },
    notice(valid ? "good" : "bad", words),
    inPlace(text, diagnostics),
  );
}

const diagnosticsList = (list) =>
  list.length > 0 &&
  h(
    "ul",
    { class: "diagnostics" },
    list.map((it) => h("li", null, `${it.line}:${it.column} `, message(it))),
  );

const message = (it) => [
  h("strong", { class: it.severity === "error" ? "bad" : "warn" }, `${it.severity}: `),
  outside(it.message, 2000),
  it.help ? h("div", { class: "muted" }, outside(it.help, 2000)) : null,
];

// The lines with problems, each problem below its place.
function inPlace(text, diagnostics) {
  if (!diagnostics.length)
    return text.trim() ? null : empty("The text is empty.", "Paste a configuration above.");
  const lines = text.split(/\r?\n/);
  const near = (number) => diagnostics.some((it) => Math.abs(it.line - number) <= CONTEXT);
  const rows = [];
  let before = 0;
  lines.forEach((line, index) => {
    const number = index + 1;
    if (!near(number)) return;
    if (number > before + 1) rows.push(h("li", { class: "gap", "aria-hidden": "true" }, "…"));
    before = number;
    rows.push(
      h("li", null, h("span", { class: "number" }, String(number)), h("code", null, line.slice(0, 500))),
    );
    for (const it of diagnostics.filter((it) => it.line === number)) {
      rows.push(
        h(
          "li",
          { class: `mark ${it.severity}`, "data-test": "diagnostic" },
          h("span", { class: "number" }, ""),
          h("pre", null, `${" ".repeat(Math.min(it.column, 500) - 1)}^`),
          h("div", null, message(it)),
        ),
      );
    }
  });
  return h("ol", { class: "source" }, rows);
}
