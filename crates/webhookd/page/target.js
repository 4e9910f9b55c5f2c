// Target: what is stuck, what the receiver answered, and the actions on it.

import * as api from "./api.js";
import { attemptsTable } from "./attempts.js";
import { chart, shares } from "./chart.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { count, counted, percent, rate } from "./format.js";
import { getHistory, inMilliseconds } from "./history.js";
import { link } from "./router.js";
import { outcomeTone, outcomeWords, stateOf } from "./states.js";
import { testEvent } from "./test_event.js";
import { ago, duration, milliseconds } from "./time.js";
import { action, badge, block, empty, missing, outside, section, table, tile } from "./widgets.js";

const ATTEMPTS_A_PAGE = 20;
const STUCK_TASKS = 50;

export function target(page, { parts: [name], query }) {
  const path = `/targets/${encodeURIComponent(name)}`;
  let shown, waiting, attempts, history;
  let cursor = null;

  async function load() {
    const { outcome, key, after } = query;
    [shown, waiting, attempts, history] = await Promise.all([
      api.get(path),
      api.getOptional(`${path}/waiting?limit=${STUCK_TASKS}`),
      api.getOptional(`${path}/attempts${api.query({ outcome, key, after, limit: ATTEMPTS_A_PAGE })}`),
      getHistory(),
    ]);
  }

  function render() {
    const state = stateOf(shown);
    return [
      h("p", { class: "lead" }, badge(state, { "data-test": "state" }), " ", state.sentence),
      h(
        "p",
        { class: "muted" },
        shown.delivery === "reliable" ? "Reliable" : "Best effort",
        " · ",
        outside(shown.url),
      ),
      actions(),
      h("dl", { class: "tiles low", key: "tiles" }, tiles(shown.stats)),
      section("Stuck tasks", { test: "stuck", key: "stuck" }, stuck()),
      section(
        "Last attempts",
        { aside: attemptFilter(), test: "last-attempts", key: "attempts" },
        lastAttempts(),
      ),
      section("The last hour", { test: "charts", key: "charts" }, charts()),
      section("Attempts since the start", { key: "outcomes" }, outcomes()),
      section(
        "Settings in force",
        { key: "settings" },
        block(JSON.stringify(shown.settings, null, 2), { test: "settings" }),
      ),
    ];
  }

  function actions() {
    const run = async (verb, done) => {
      try {
        await api.post(`${path}/${verb}`);
        page.say(`Target ${name} ${done}.`);
        page.reload();
      } catch (error) {
        page.say(error.message, "bad");
      }
    };
    const pause = () =>
      confirm({
        title: `Pause ${name}`,
        prepare: () => ({
          question: `Pause deliveries to ${name}? ${counted(shown.stats.pending, "event")} will wait.`,
          note: "Attempts under way end as usual. Events are accepted and kept until the target is resumed or webhookd restarts.",
          label: "Pause",
        }),
        run: async () => {
          await api.post(`${path}/pause`);
          page.reload();
          return `Target ${name} is paused.`;
        },
      });
    return h(
      "div",
      { class: "buttons", key: "actions" },
      shown.paused
        ? action(page, "Resume", () => run("resume", "is resumed"), { test: "resume", tone: "primary" })
        : action(page, "Pause", pause, { test: "pause" }),
      action(page, "Retry now", () => run("restart", "is restarted: its waiting tasks are tried now"), {
        test: "restart",
      }),
      action(page, "Send a test event", () => testEvent(name), { test: "send-test" }),
      h(
        "a",
        {
          class: "button",
          href: link("dead-letters", [], { target: name }),
          "data-test": "dead-letters-link",
        },
        counted(shown.stats.deadHeld, "dead letter"),
      ),
    );
  }

  function tiles(stats) {
    const { p50, p99 } = stats.attemptSeconds;
    const ms = (seconds) => milliseconds(seconds == null ? null : seconds * 1000);
    return [
      tile({
        name: "Owed",
        value: count(stats.pending),
        note: `oldest ${duration(stats.oldestPendingAgeSeconds)}`,
        test: "pending",
      }),
      tile({ name: "In flight", value: count(stats.inFlight), note: "attempts under way" }),
      tile({ name: "Waiting tasks", value: count(stats.waitingTasks), note: "for their next attempt" }),
      tile({ name: "Delivered", value: count(stats.delivered), note: "since the start" }),
      tile({ name: "Answer time, p50", value: ms(p50), note: "since the start" }),
      tile({ name: "Answer time, p99", value: ms(p99), note: "since the start" }),
    ];
  }

  function stuck() {
    if (!waiting) return missing(`/targets/${name}/waiting`);
    if (!waiting.waiting.length)
      return empty(
        "No task is stuck.",
        "A task whose attempt fails appears here, with the events that wait behind it.",
      );
    const columns = [
      { label: "Task" },
      { label: "Reason" },
      { label: "Accepted" },
      { label: "Attempts", end: true },
      { label: "Next try" },
      { label: "Behind it", end: true },
    ];
    const rows = waiting.waiting.map((it) => ({
      key: it.key,
      test: "stuck-row",
      cells: [
        h("a", { href: link("tasks", [it.key]) }, outside(it.key, 80)),
        outside(it.reason),
        ago(it.acceptedAt),
        it.attempts,
        it.nextTryAt ? ago(it.nextTryAt) : "now",
        it.behindMore ? `more than ${count(it.behind)}` : count(it.behind),
      ],
    }));
    return [
      table({
        caption: "Tasks that wait for their next attempt, the longest wait first",
        columns,
        rows,
        test: "stuck-tasks",
      }),
      waiting.more && h("p", { class: "muted" }, `More tasks wait; these are the first ${STUCK_TASKS}.`),
    ];
  }

  function attemptFilter() {
    const outcome = query.outcome ?? "";
    const choices = [
      ["", "All"],
      ["failed", "Failed"],
      ["delivered", "Delivered"],
    ];
    if (outcome && !choices.some(([value]) => value === outcome)) choices.push([outcome, outcome]);
    return h(
      "div",
      { class: "choices", role: "group", "aria-label": "Which attempts" },
      choices.map(([value, label]) =>
        h(
          "a",
          {
            key: value,
            href: link("targets", [name], { ...query, after: null, outcome: value }),
            "aria-current": outcome === value ? "true" : null,
            "data-test": `attempts-${value || "all"}`,
          },
          label,
        ),
      ),
    );
  }

  function lastAttempts() {
    if (!attempts) return missing(`/targets/${name}/attempts`);
    const key =
      query.key &&
      h(
        "p",
        null,
        "Of task ",
        outside(query.key),
        ". ",
        h("a", { href: link("targets", [name], { ...query, key: null }) }, "Show all tasks"),
      );
    if (!attempts.attempts.length) {
      const all = h("a", { href: link("targets", [name]) }, "Show all attempts");
      const next =
        query.outcome || query.key || query.after
          ? [all, "."]
          : "Send a test event to see what the receiver answers.";
      return [key, empty("No attempt to show.", next)];
    }
    return [
      key,
      attemptsTable(attempts.attempts, `Attempts to ${name}, newest first`),
      h(
        "div",
        { class: "pages" },
        query.after && h("a", { href: link("targets", [name], { ...query, after: null }) }, "Newest"),
        attempts.next != null &&
          h(
            "a",
            { href: link("targets", [name], { ...query, after: attempts.next }), "data-test": "older" },
            "Older",
          ),
      ),
    ];
  }

  function charts() {
    const series = history?.targets?.[name];
    if (!history) return missing("/history");
    if (!series) return empty("No history yet.", "It begins ten seconds after the start.");
    const moved = (at) => {
      cursor = at;
      page.refresh();
    };
    const common = { history, cursor, moved };
    return h(
      "div",
      { class: "charts" },
      chart({
        ...common,
        title: "Per second",
        show: rate,
        series: [
          { name: "delivered", values: series.rate, tone: "good" },
          { name: "failed attempts", values: series.failed, tone: "bad" },
        ],
      }),
      chart({
        ...common,
        title: "Answer time",
        show: milliseconds,
        series: [
          { name: "p50", values: inMilliseconds(series.p50), tone: "accent" },
          { name: "p99", values: inMilliseconds(series.p99), tone: "second" },
        ],
      }),
    );
  }

  function outcomes() {
    const all = Object.entries(shown.stats.attempts).filter(([, number]) => number > 0);
    if (!all.length)
      return empty("No attempt yet.", "An event that matches the target's filters is sent at once.");
    const total = all.reduce((sum, [, number]) => sum + number, 0);
    const parts = all.map(([outcome, value]) => ({
      name: `${outcome}: ${outcomeWords(outcome)}`,
      value,
      tone: outcomeTone(outcome),
    }));
    return shares(
      parts,
      `Outcomes of ${count(total)} attempts`,
      (value) => `${count(value)} (${percent(value / total)})`,
    );
  }

  return { title: name, heading: ["Target ", outside(name)], load, render };
}
