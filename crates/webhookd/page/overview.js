// Overview: is it ready, is anything late, and which target is not well.

import * as api from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { bytes, count, counted, percent, rate } from "./format.js";
import { getHistory, now } from "./history.js";
import { link } from "./router.js";
import { loadTargets, statesSummary, targetsTable } from "./targets_table.js";
import { ago, duration, milliseconds } from "./time.js";
import { icon, missing, section, targetLink, tile } from "./widgets.js";

export function overview(page) {
  let targets, queue, history, sync;
  let commits = null;

  async function load() {
    let vars;
    [targets, queue, history, vars] = await Promise.all([
      loadTargets(page),
      api.get("/queue"),
      getHistory(),
      api.getRoot("/vars.json"),
    ]);
    sync = syncTime(vars);
  }

  // The mean time of the commits since the last look, each with its sync, in milliseconds.
  function syncTime(vars) {
    const before = commits;
    const number = vars.webhookd_queue_commits;
    if (number === undefined) return null;
    commits = { number, micros: vars.webhookd_queue_commit_micros_total };
    const since = before && before.number < number ? before : { number: 0, micros: 0 };
    if (before && before.number === number) return sync;
    return number ? (commits.micros - since.micros) / (number - since.number) / 1000 : null;
  }

  function render() {
    return [
      readiness(page.status),
      page.alerts?.length ? alertsLine(page.alerts) : null,
      h(
        "dl",
        { class: "tiles", key: "tiles" },
        oldest(),
        owed(),
        used(),
        commit(),
        flow("In", "in"),
        flow("Out", "out"),
      ),
      history ? null : missing("/history"),
      section(
        "Targets",
        { aside: statesSummary(targets), test: "targets-section", key: "targets" },
        targetsTable(targets, "Targets and their state"),
      ),
    ];
  }

  function oldest() {
    const late = targets.reduce(
      (most, it) =>
        (it.stats.oldestPendingAgeSeconds ?? -1) > (most?.stats.oldestPendingAgeSeconds ?? -1) ? it : most,
      null,
    );
    const age = late?.stats.oldestPendingAgeSeconds;
    return tile({
      name: "Oldest event owed",
      value: age == null ? "None" : duration(age),
      note: age == null ? "Everything is delivered" : ["by ", targetLink(late.name)],
      test: "oldest",
    });
  }

  function owed() {
    const pending = targets.reduce((sum, it) => sum + it.stats.pending, 0);
    const dead = queue.targets.reduce((sum, it) => sum + it.deadLetters, 0);
    return tile({
      name: "Deliveries owed",
      value: count(pending),
      note: dead ? h("a", { href: link("dead-letters") }, counted(dead, "dead letter")) : "No dead letters",
      extra:
        history &&
        sparkline(history.series.pending, `Deliveries owed in the last hour, now ${count(pending)}`),
      test: "owed",
    });
  }

  function used() {
    const share = queue.usableBytes ? queue.bytes / queue.usableBytes : null;
    const label = `${percent(share)} of the queue is used`;
    return tile({
      name: "Queue used",
      value: percent(share),
      note: `${bytes(queue.bytes)} of ${bytes(queue.usableBytes)} for events`,
      extra: h("meter", { min: 0, max: 1, high: 0.8, value: String(share ?? 0), "aria-label": label }),
      tone: share > 0.8 ? "warn" : null,
      test: "queue-used",
    });
  }

  function commit() {
    const failing = queue.writer?.failing;
    return tile({
      name: "Commit and sync",
      value: failing ? "Failing" : milliseconds(sync),
      note: failing ?? (sync == null ? "No commit yet" : "Mean per commit"),
      tone: failing ? "bad" : null,
      test: "sync",
    });
  }

  function flow(name, series) {
    const values = history?.series[series];
    const note = name === "In" ? "Events accepted" : "Events delivered";
    return tile({
      name: `${name} per second`,
      value: values ? rate(now(values)) : "–",
      note,
      extra: values && sparkline(values, `${note} per second in the last hour, now ${rate(now(values))}`),
      test: series,
    });
  }

  return { title: "Overview", load, render };
}

// Whether events can be accepted, and if not, why.
function readiness(status) {
  const since = ["webhookd ", status.version, ", started ", ago(status.startedAt), "."];
  if (status.ready)
    return h(
      "p",
      { class: "lead", key: "readiness", "data-test": "readiness" },
      "Events are accepted. ",
      h("span", { class: "muted" }, since),
    );
  return h(
    "div",
    { class: "notice bad", key: "readiness", "data-test": "readiness" },
    icon("broken"),
    h(
      "div",
      null,
      h("strong", null, "Events are not accepted."),
      h(
        "ul",
        null,
        status.reasons.map((it) => h("li", null, it.detail)),
      ),
      since,
    ),
  );
}

function alertsLine(alerts) {
  const worst = alerts.some((it) => it.severity === "critical") ? "bad" : "warn";
  return h(
    "div",
    { class: `notice ${worst}`, key: "alerts", "data-test": "alerts-line" },
    icon("broken"),
    h(
      "div",
      null,
      h("a", { href: link("alerts") }, counted(alerts.length, "alert")),
      ": ",
      alerts
        .slice(0, 3)
        .map((it) => it.summary)
        .join("; "),
      alerts.length > 3 ? " …" : ".",
    ),
  );
}
