// The states of a target, in words.

import { ago, clock, dateOf } from "./time.js";
import { counted } from "./format.js";

// How long a target counts as over its share after it last missed an event.
const OVER_SHARE_MS = 60_000;
const overQuota = new Map();

// A target's state as `{ word, icon, tone, sentence }`.
export function stateOf(target) {
  const tasks = counted(target.stats.waitingTasks, "task");
  switch (target.state) {
    case "paused":
      return state(
        "Paused",
        "pause",
        "warn",
        "An operator paused it. Its events wait in the queue until it is resumed.",
      );
    case "stopped":
      return state(
        "Stopped by 410",
        "stop",
        "bad",
        "The receiver answered 410 Gone. Its events are kept; restart the target when the receiver is back.",
      );
    case "held":
      return held(target.hold);
    case "breaker-open":
      return breakerOpen(target.breakerOpenUntil);
    case "half-open":
      return state(
        "Probing",
        "retry",
        "warn",
        "The receiver failed. An attempt is under way to see whether it works again.",
      );
    default:
  }
  if (isOverQuota(target)) {
    return state(
      "Over its quota",
      "full",
      "bad",
      "Its pending events take all bytes of its quota. New events are not stored for it.",
    );
  }
  if (target.state === "retrying") {
    return state(
      "Retrying",
      "retry",
      "warn",
      `${tasks} ${target.stats.waitingTasks === 1 ? "waits" : "wait"} for the next attempt. They do not hold up the others.`,
    );
  }
  if (target.state === "ok") return state("OK", "ok", "good", "Events are delivered as they come.");
  return state(target.state, "info", "warn", "");
}

const state = (word, icon, tone, ...sentence) => ({ word, icon, tone, sentence });

function breakerOpen(at) {
  const sentence = "The receiver cannot be reached or fails. Its events wait.";
  const until = dateOf(at);
  if (!until) return state("Breaker open", "broken", "bad", sentence);
  return state(
    `Breaker open until ${clock(until)}`,
    "broken",
    "bad",
    `${sentence} The next attempt is made `,
    ago(until),
    ".",
  );
}

function held(hold) {
  const until = dateOf(hold?.until);
  if (until) {
    return state(
      `Held until ${clock(until)}`,
      "clock",
      "warn",
      "The receiver asked for a pause with Retry-After. It ends ",
      ago(until),
      ".",
    );
  }
  return state(
    "Held",
    "clock",
    "bad",
    `The receiver ${hold?.detail ?? "refuses the events of all tasks"}. Events are kept, and one a second is sent until one is delivered.`,
  );
}

// Whether it missed events for its quota since the last look, or within the last minute.
function isOverQuota({ name, stats, blocksQueue }) {
  if (blocksQueue) return true;
  const seen = overQuota.get(name);
  if (!seen || stats.overQuota < seen.count) overQuota.set(name, { count: stats.overQuota, at: -Infinity });
  else if (stats.overQuota > seen.count)
    overQuota.set(name, { count: stats.overQuota, at: performance.now() });
  return performance.now() - overQuota.get(name).at < OVER_SHARE_MS;
}

// What `outcome` of an attempt means.
const OUTCOMES = {
  "2xx": "delivered",
  "3xx": "redirect, which is not followed",
  "4xx": "refused by the receiver",
  "5xx": "failure of the receiver",
  record: "some records of the batch refused",
  timeout: "no answer in time",
  connect: "no connection",
  io: "connection lost",
  panic: "failure within webhookd",
  unsendable: "cannot be sent",
  token: "no access token",
};

export const outcomeWords = (outcome) => OUTCOMES[outcome] ?? outcome;

// The tone of an outcome's colour.
export function outcomeTone(outcome) {
  if (outcome === "2xx") return "good";
  return outcome === "4xx" || outcome === "3xx" ? "warn" : "bad";
}

// The words of a failure, unless they say the status alone, which is shown beside them.
export const beyondStatus = (status, words) =>
  words === `the receiver answered ${status}` ? null : words;

// Why there was no further attempt for a dead letter.
const REASONS = {
  refused: "Refused by the receiver",
  "attempts-exhausted": "All attempts failed",
  "too-old": "Too old",
  unsendable: "Cannot be sent",
  delivered: "Delivered",
};

export const reasonWords = (reason) => REASONS[reason] ?? reason ?? "Unknown";
