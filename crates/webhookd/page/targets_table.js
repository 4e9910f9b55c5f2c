// The table of targets, and what it needs.

import * as api from "./api.js";
import { sparkline } from "./chart.js";
import { cut, h } from "./dom.js";
import { count, percent, rate } from "./format.js";
import { getHistory, now, success } from "./history.js";
import { outcomeWords, stateOf } from "./states.js";
import { ago, duration, milliseconds } from "./time.js";
import { badge, outside, table, targetLink } from "./widgets.js";

// Targets that are asked for their last failure and next attempt in a round.
const DETAILS_A_ROUND = 8;

const COLUMNS = [
  { label: "Target" },
  { label: "State" },
  { label: "Rate", end: true },
  { label: "Success", end: true },
  { label: "p50 / p99", end: true },
  { label: "Owed", end: true },
  { label: "Oldest", end: true },
  { label: "Last error" },
  { label: "Next try" },
];

// Details of targets by name: the last failure, and when the task that waits longest is tried.
const details = new Map();
const words = new Map();

// All targets, with history and details.
export async function loadTargets(page) {
  const [{ targets }, history] = await Promise.all([api.get("/targets"), getHistory()]);
  const changed = targets.filter((target) => details.get(target.name)?.mark !== mark(target));
  await Promise.all(changed.slice(0, DETAILS_A_ROUND).map(loadDetails));
  announceChanges(page, targets);
  return targets.map((target) => ({
    ...target,
    series: history?.targets?.[target.name],
    ...details.get(target.name),
  }));
}

// Changes when a target's last failure or next attempt may have changed.
function mark({ state, stats }) {
  return [
    failures(stats),
    stats.waitingTasks,
    state,
    stats.waitingTasks && Math.floor(Date.now() / 10_000),
  ].join();
}

function failures({ attempts }) {
  return Object.entries(attempts).reduce(
    (sum, [outcome, number]) => sum + (outcome === "2xx" ? 0 : number),
    0,
  );
}

async function loadDetails(target) {
  const path = `/targets/${encodeURIComponent(target.name)}`;
  const [failed, waiting] = await Promise.all([
    failures(target.stats) ? api.getOptional(`${path}/attempts?outcome=failed&limit=1`) : null,
    target.stats.waitingTasks ? api.getOptional(`${path}/waiting?limit=1`) : null,
  ]);
  details.set(target.name, {
    mark: mark(target),
    failure: failed?.attempts[0],
    next: waiting?.waiting[0]?.nextTryAt,
  });
}

function announceChanges(page, targets) {
  const changes = [];
  for (const target of targets) {
    const { word } = stateOf(target);
    const before = words.get(target.name);
    if (before && before !== word) changes.push(`Target ${target.name}: ${word}, was ${before}.`);
    words.set(target.name, word);
  }
  if (changes.length) page.announce(changes.join(" "));
}

// How many targets are in each state, in words.
export function statesSummary(targets) {
  const numbers = new Map();
  for (const { word } of targets.map(stateOf)) numbers.set(word, (numbers.get(word) ?? 0) + 1);
  const parts = [...numbers].map(([word, number]) => `${count(number)} ${word}`);
  return h("span", { class: "muted" }, parts.join(" · "));
}

export function targetsTable(targets, caption) {
  const rows = targets.map((target) => ({
    key: target.name,
    name: target.name,
    test: "target-row",
    cells: cells(target),
  }));
  return table({ caption, columns: COLUMNS, rows, test: "targets" });
}

function cells(target) {
  const { stats, series } = target;
  const state = stateOf(target);
  return [
    targetLink(target.name, { "data-test": "target-link" }),
    badge(state, {
      "data-test": "state",
      title: state.sentence.filter((it) => typeof it === "string").join(""),
    }),
    [
      series &&
        sparkline(series.rate, `Events delivered per second in the last hour, now ${rate(now(series.rate))}`),
      h("span", { class: "figure" }, series ? rate(now(series.rate)) : "–"),
    ],
    h("span", { title: "Of the attempts in the last 5 minutes" }, percent(success(series))),
    `${milliseconds(p(target, "p50"))} / ${milliseconds(p(target, "p99"))}`,
    count(stats.pending),
    duration(stats.oldestPendingAgeSeconds),
    lastError(target),
    ago(target.hold?.until ?? target.next),
  ];
}

// A quantile of the last ten seconds with attempts, or since the start, in milliseconds.
function p({ series, stats }, name) {
  const seconds = now(series?.[name]) ?? stats.attemptSeconds[name];
  return seconds == null ? null : seconds * 1000;
}

function lastError({ failure, hold, state }) {
  if (!failure) return outside(state === "held" ? hold.detail : null);
  return [h("bdi", null, cut(errorOf(failure), 70)), ", ", h("span", { class: "muted" }, ago(failure.at))];
}

// What went wrong with an attempt, in words.
export const errorOf = (attempt) =>
  attempt.error ?? `${attempt.status ?? ""} ${outcomeWords(attempt.outcome)}`.trim();
