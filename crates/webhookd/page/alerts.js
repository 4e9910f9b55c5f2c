// Alerts: which of the documented conditions hold now, and what to do.

import * as api from "./api.js";
import { h } from "./dom.js";
import { link } from "./router.js";
import { runbook } from "./runbook.js";
import { ago } from "./time.js";
import { badge, empty, missing, section, table } from "./widgets.js";

const COLUMNS = [{ label: "Severity" }, { label: "What" }, { label: "Since" }, { label: "What to do" }];

const SEVERITIES = {
  critical: { word: "Critical", icon: "broken", tone: "bad" },
  warning: { word: "Warning", icon: "broken", tone: "warn" },
  info: { word: "Info", icon: "info", tone: "quiet" },
};

export function alerts(page, { query }) {
  let list;
  let steps = null;

  async function load() {
    list = (await api.getOptional("/alerts"))?.alerts;
    const opened = list?.find((it) => it.name === query.open);
    if (opened) steps ??= await runbook(opened.runbook.split("#")[1]);
  }

  function render() {
    if (!list) return missing("/alerts");
    if (!list.length)
      return empty(
        "No alert holds.",
        "The conditions are those of docs/monitoring/alerts.yml. For notices of them, let Prometheus evaluate that file, or set notices in the configuration.",
      );
    const rows = list.flatMap((it) => [row(it), it.name === query.open && detail(it)].filter(Boolean));
    return section(
      "Alerts that hold now",
      {},
      table({ caption: "Alerts that hold now", columns: COLUMNS, rows, test: "alerts" }),
    );
  }

  const row = (it) => ({
    key: `${it.name}-${it.summary}`,
    name: it.name,
    test: "alert-row",
    cells: [
      badge(SEVERITIES[it.severity] ?? SEVERITIES.info),
      [h("strong", null, it.name), h("div", null, h("bdi", null, it.summary))],
      ago(it.since),
      it.name === query.open
        ? h("a", { href: link("alerts"), "data-test": "runbook-link" }, "Hide")
        : h(
            "a",
            { href: link("alerts", [], { open: it.name }), "data-test": "runbook-link" },
            "Show what to do",
          ),
    ],
  });

  const detail = (it) => ({
    key: `${it.name}-${it.summary}-steps`,
    detail: h(
      "div",
      { class: "runbook", "data-test": "runbook" },
      steps ?? h("p", null, "See ", h("code", null, it.runbook), "."),
      h("p", { class: "muted" }, `From ${it.runbook}`),
    ),
  });

  return { title: "Alerts", load, render };
}
