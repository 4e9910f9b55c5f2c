// Alerts: which of the documented conditions hold now, and what to do.

import * as api from "./api.js";
import { h } from "./dom.js";
import { ago } from "./time.js";
import { badge, empty, missing, outside, table } from "./widgets.js";

const COLUMNS = [{ label: "Severity" }, { label: "What" }, { label: "Since" }, { label: "What to do" }];

const SEVERITIES = {
  critical: { word: "Critical", icon: "broken", tone: "bad" },
  warning: { word: "Warning", icon: "broken", tone: "warn" },
  info: { word: "Info", icon: "info", tone: "quiet" },
};

export function alerts() {
  let list;

  async function load() {
    list = (await api.getOptional("/alerts"))?.alerts;
  }

  function render() {
    if (!list) return missing("/alerts");
    if (!list.length) return empty("No alert holds.", "The conditions are those of docs/monitoring/alerts.yml, which Prometheus evaluates over longer times.");
    const rows = list.map((it) => ({
      key: `${it.name}-${it.summary}`,
      name: it.name,
      test: "alert-row",
      cells: [
        badge(SEVERITIES[it.severity] ?? SEVERITIES.info),
        [h("strong", null, it.name), h("div", null, outside(it.summary, 300))],
        ago(it.since),
        h("code", { class: "runbook" }, it.runbook),
      ],
    }));
    return table({ caption: "Alerts that hold now", columns: COLUMNS, rows, test: "alerts" });
  }

  return { title: "Alerts", load, render };
}
