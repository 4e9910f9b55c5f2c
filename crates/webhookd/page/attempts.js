// A table of attempts, each with its answer.

import { h } from "./dom.js";
import { bytes } from "./format.js";
import { link } from "./router.js";
import { beyondStatus, outcomeTone, outcomeWords } from "./states.js";
import { ago, milliseconds } from "./time.js";
import { badge, block, outside, table } from "./widgets.js";

const COLUMNS = [
  { label: "When" },
  { label: "Outcome" },
  { label: "Task" },
  { label: "State" },
  { label: "Attempt", end: true },
  { label: "Time", end: true },
  { label: "Size", end: true },
  { label: "Answer" },
];

// Characters of an answer that are seen before it is opened.
const SUMMARY = 48;

// The log of attempts keeps the beginning of a long key, with … at its end.
const isCut = (key) => key.length > 300 && key.endsWith("…");

export function attemptsTable(attempts, caption) {
  const rows = attempts.map((attempt) => ({
    key: `${attempt.target}-${attempt.number}`,
    test: "attempt-row",
    cells: [
      ago(attempt.at),
      outcome(attempt),
      isCut(attempt.key)
        ? outside(attempt.key, 60)
        : h("a", { href: link("tasks", [attempt.key]) }, outside(attempt.key, 60)),
      outside(attempt.state, 30),
      attempt.attempt,
      took(attempt),
      bytes(attempt.bytes),
      answer(attempt),
    ],
  }));
  return table({ caption, columns: COLUMNS, rows, test: "attempts" });
}

// The outcome in words, with the status or the error.
export function outcome(attempt) {
  const tone = outcomeTone(attempt.outcome);
  const word = [attempt.status, outcomeWords(attempt.outcome)].filter(Boolean).join(" ");
  return badge({ word, tone, icon: tone === "good" ? "ok" : "broken" }, { "data-test": "outcome" });
}

// How long the request took, and how many events it had.
function took(attempt) {
  const time = milliseconds(attempt.milliseconds);
  if (attempt.batch == null) return time;
  const title = `Request ${attempt.batch.id}`;
  return h("span", { title }, time, ` for ${attempt.batch.events} events`);
}

// What the receiver answered to a failed attempt, and why it failed.
export function answer(attempt) {
  if (attempt.outcome === "2xx") return outside(null);
  const words = beyondStatus(attempt.status, attempt.error);
  const error = words && h("div", null, outside(words, 200));
  if (attempt.answer == null) return error ?? outside(null);
  return [
    error,
    h(
      "details",
      { "data-test": "answer" },
      h("summary", null, "Answer: ", outside(attempt.answer, SUMMARY)),
      block(attempt.answer),
    ),
  ];
}
