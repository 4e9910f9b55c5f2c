// The table of targets, and what it needs.

import * as api from "./api.js";
import { sparkline } from "./chart.js";
import { cut, h } from "./dom.js";
import { count, percent, rate } from "./format.js";
import { getHistory, now, success } from "./history.js";
import { outcomeWords, stateOf } from "./states.js";
import { ago, dateOf, duration, milliseconds } from "./time.js";
import { badge, outside, table, targetLink } from "./widgets.js";

// Targets that are asked for their last failure in a round.
const FAILURES_A_ROUND = 8;

// What says most about a target that fails comes first: a narrow window cuts the last columns.
const COLUMNS = [
  { label: "Target" },
  { label: "State" },
  { label: "Last error" },
  { label: "Next try" },
  { label: "Owed", end: true },
  { label: "Oldest", end: true },
  { label: "Success", end: true },
  { label: "Rate", end: true },
  { label: "p50 / p99", end: true },
];

// The last failures of targets by name, and how many there were by then.
const lastFailures = new Map();
const words = new Map();

// All targets, with history and last failure.
export async function loadTargets(page) {
  const [{ targets }, history] = await Promise.all([api.get("/targets"), getHistory()]);
  const changed = targets.filter(({ name, stats }) => lastFailures.get(name)?.number !== failures(stats));
  await Promise.all(changed.slice(0, FAILURES_A_ROUND).map(loadFailure));
  announceChanges(page, targets);
  return targets.map((target) => ({
    ...target,
    series: history?.targets?.[target.name],
    failure: lastFailures.get(target.name)?.failure,
  }));
}

function failures({ attempts }) {
  return Object.entries(attempts).reduce(
    (sum, [outcome, number]) => sum + (outcome === "2xx" ? 0 : number),
    0,
  );
}

async function loadFailure({ name, stats }) {
  const number = failures(stats);
  const path = `/targets/${encodeURIComponent(name)}/attempts?outcome=failed&limit=1`;
  const failed = number ? await api.getOptional(path) : null;
  lastFailures.set(name, { number, failure: failed?.attempts[0] });
}

function announceChanges(page, targets) {
  const changes = [];
  for (const target of targets) {
    // Without its time, which changes with each attempt.
    const [word] = stateOf(target).word.split(" until ");
    const before = words.get(target.name);
    if (before && before !== word) changes.push(`Target ${target.name}: ${word}, was ${before}.`);
    words.set(target.name, word);
  }
  if (changes.length) page.announce(changes.join(" "));
}

// How many targets are in each state, in words.
export function statesSummary(targets) {
  const numbers = new Map();
  for (const target of targets) {
    const [word] = stateOf(target).word.split(" until ");
    numbers.set(word, (numbers.get(word) ?? 0) + 1);
  }
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
    lastError(target),
    nextTry(target),
    count(stats.pending),
    duration(stats.oldestPendingAgeSeconds),
    h("span", { title: "Of the attempts in the last 5 minutes" }, percent(success(series))),
    [
      series &&
        sparkline(series.rate, `Events delivered per second in the last hour, now ${rate(now(series.rate))}`),
      h("span", { class: "figure" }, series ? rate(now(series.rate)) : "–"),
    ],
    `${milliseconds(p(target, "p50"))} / ${milliseconds(p(target, "p99"))}`,
  ];
}

// A quantile of the last ten seconds with attempts, or since the start, in milliseconds.
function p({ series, stats }, name) {
  const seconds = now(series?.[name]) ?? stats.attemptSeconds[name];
  return seconds == null ? null : seconds * 1000;
}

// When the target gets its next attempt, if that is known.
function nextTry({ state, hold, stats }) {
  const at = dateOf(hold?.until ?? (state === "retrying" ? stats.nextRetryAt : null));
  return at && at < new Date() ? "now" : ago(at);
}

function lastError({ failure, hold, state }) {
  if (!failure) return outside(state === "held" ? hold.detail : null);
  const words = errorOf(failure).replace(/^the receiver /, "");
  return [h("bdi", null, cut(words, 70)), ", ", h("span", { class: "muted" }, ago(failure.at))];
}

// What went wrong with an attempt, in words.
export const errorOf = (attempt) =>
  attempt.error ?? `${attempt.status ?? ""} ${outcomeWords(attempt.outcome)}`.trim();
