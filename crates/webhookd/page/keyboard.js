// Keys: / searches, g and a letter goes to a view, ? shows the keys.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { go } from "./router.js";

const SEQUENCE_MS = 1500;

const VIEWS = {
  o: ["overview", "Overview"],
  t: ["targets", "Targets"],
  d: ["dead-letters", "Dead letters"],
  k: ["tasks", "Task"],
  c: ["config", "Configuration"],
  w: ["workers", "Workers"],
  a: ["alerts", "Alerts"],
};

let prefixAt = -Infinity;

export function listen() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const isSecond = performance.now() - prefixAt < SEQUENCE_MS;
    prefixAt = -Infinity;
    if (isSecond && event.key in VIEWS) {
      go(VIEWS[event.key][0]);
    } else if (event.key === "/") {
      document.getElementById("search-text").focus();
    } else if (event.key === "?") {
      showKeys();
    } else if (event.key === "g") {
      prefixAt = performance.now();
    } else {
      return;
    }
    event.preventDefault();
  });
}

export function showKeys() {
  const views = Object.entries(VIEWS).map(([key, [, name]]) => [["g", key], name]);
  const keys = [[["/"], "Find a task"], ...views, [["?"], "Show the keys"], [["Esc"], "Close a dialog"]];
  const row = ([sequence, name]) =>
    h(
      "div",
      null,
      h(
        "dt",
        null,
        sequence.map((key) => h("kbd", null, key)),
      ),
      h("dd", null, name),
    );
  open("Keys", h("dl", { class: "keys" }, keys.map(row)));
}
