// Targets: all of them, or those in a state.

import { h } from "./dom.js";
import { go, link } from "./router.js";
import { stateOf } from "./states.js";
import { loadTargets, targetsTable } from "./targets_table.js";
import { empty, section } from "./widgets.js";

export function targets(page, { query }) {
  let all = [];
  const wanted = { name: query.name ?? "", state: query.state ?? "" };

  function render() {
    const shown = all.filter(
      (it) => it.name.includes(wanted.name) && (!wanted.state || it.state === wanted.state),
    );
    return [
      filter(),
      shown.length
        ? section(
            all.length === shown.length ? "All targets" : `${shown.length} of ${all.length} targets`,
            { key: "targets" },
            targetsTable(shown, "Targets that match"),
          )
        : empty("No target matches.", h("a", { href: link("targets") }, "Show all targets"), "."),
    ];
  }

  function filter() {
    const states = [...new Set(all.map((it) => it.state))].sort();
    if (wanted.state && !states.includes(wanted.state)) states.push(wanted.state);
    const change = (name) => (event) => go("targets", [], { ...wanted, [name]: event.currentTarget.value });
    const word = (state) => stateOf(all.find((it) => it.state === state) ?? { state, stats: {} }).word;
    return h(
      "div",
      { class: "filter", key: "filter" },
      h(
        "label",
        null,
        "Name contains",
        h("input", {
          type: "search",
          value: wanted.name,
          "data-test": "filter-name",
          on: { change: change("name") },
        }),
      ),
      h(
        "label",
        null,
        "State",
        h(
          "select",
          { "data-test": "filter-state", on: { change: change("state") } },
          h("option", { value: "", selected: !wanted.state }, "Any"),
          states.map((it) => h("option", { key: it, value: it, selected: it === wanted.state }, word(it))),
        ),
      ),
    );
  }

  return {
    title: "Targets",
    load: async () => {
      all = await loadTargets(page);
    },
    render,
  };
}
