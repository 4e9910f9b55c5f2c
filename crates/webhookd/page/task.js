// Task: what became of a task, over all targets.

import * as api from "./api.js";
import { answer, outcome } from "./attempts.js";
import { h } from "./dom.js";
import { count, counted } from "./format.js";
import { link } from "./router.js";
import { reasonWords } from "./states.js";
import { ago, dateOf, milliseconds } from "./time.js";
import { badge, block, copyButton, empty, notice, outside, section } from "./widgets.js";

const WORKERS_REFRESH_MS = 10_000;
// Characters of a task id that are shown in the heading.
const HEADING = 80;

export function task(page, { parts }) {
  // A task id may have slashes that the address shows as they are.
  const key = parts.join("/");
  let found;

  async function load() {
    if (key) found = await api.find("/tasks", { key });
  }

  // The number of other workers of a shared queue.
  let others = 0;

  async function loadOthers() {
    const workers = (await api.getKept("/workers", WORKERS_REFRESH_MS))?.workers ?? [];
    others = Math.max(0, workers.length - 1);
  }

  const ofOthers = () =>
    others > 0 &&
    notice(
      "info",
      h(
        "p",
        { "data-test": "others" },
        `${counted(others, "other worker shares", "other workers share")} the queue. The events that another worker owes, and its attempts, are on that worker's page only.`,
      ),
    );

  function render() {
    if (!key)
      return empty(
        "Which task?",
        "Type its id into the field at the top; / moves the cursor there. Task ids in the other views lead here, too.",
      );
    const id = h(
      "p",
      { class: "taskid", key: "id" },
      key.length > HEADING ? block(key, { length: 400, test: "task-id" }) : null,
      copyButton(key, "the id"),
    );
    const known = found.targets.filter(
      (it) => it.pending.length || it.inFlight || it.attempts.length || it.deadLetters.length,
    );
    if (!known.length) {
      return [
        id,
        ofOthers(),
        empty(
          others ? "This worker has nothing of this task." : "Nothing is known of this task.",
          "It is owed to no target, has no dead letter, and is not among the last attempts of any. Check the id, or the filters of the targets in the configuration.",
        ),
      ];
    }
    return [
      id,
      h("p", { class: "lead", "data-test": "task-summary" }, summary(known)),
      ofOthers(),
      found.deadLettersComplete === false &&
        notice(
          "info",
          "There are more dead letters than are searched for a task; some of its own may be missing.",
        ),
      known.map((it) =>
        section(
          it.target,
          {
            key: it.target,
            test: "task-target",
            aside: h("a", { href: link("targets", [it.target], { key }) }, "Its attempts"),
          },
          timeline(it),
        ),
      ),
    ];
  }

  return {
    title: key ? `Task ${key.slice(0, HEADING)}` : "Task",
    heading: key ? ["Task ", outside(key, HEADING)] : "Task",
    load: () => Promise.all([load(), loadOthers()]),
    render,
  };
}

function summary(targets) {
  const sum = (of) => targets.reduce((all, it) => all + of(it), 0);
  const owed = sum((it) => it.pending.length);
  const more = targets.some((it) => it.pendingMore);
  const delivered = sum((it) => it.attempts.filter((attempt) => attempt.outcome === "2xx").length);
  const failed = sum((it) => it.attempts.length) - delivered;
  const dead = sum((it) => it.deadLetters.length);
  return [
    owed
      ? `${more ? "More than " : ""}${counted(owed, "delivery is", "deliveries are")} owed`
      : "Nothing is owed",
    targets.some((it) => it.inFlight) ? ", an attempt is under way" : "",
    `. Of the last attempts, ${count(delivered)} succeeded and ${count(failed)} failed.`,
    dead ? ` ${counted(dead, "event is a dead letter", "events are dead letters")}.` : "",
  ];
}

// What is to come, then what was, newest first.
function timeline(target) {
  const past = [
    ...target.attempts.map((it) => ({ ...it, kind: "attempt", time: it.at })),
    ...target.deadLetters.map((it) => ({ ...it, kind: "dead", time: it.diedAt })),
  ].sort((one, other) => dateOf(other.time) - dateOf(one.time));
  return h(
    "ol",
    { class: "timeline" },
    target.inFlight &&
      h("li", { key: "now" }, badge({ word: "Attempt under way", icon: "retry", tone: "quiet" })),
    target.nextTryAt &&
      h(
        "li",
        { key: "next" },
        badge({ word: "Next try", icon: "clock", tone: "quiet" }),
        " ",
        ago(target.nextTryAt),
      ),
    target.pendingMore && h("li", { class: "muted" }, "More events wait behind these."),
    target.pending.toReversed().map((it) => entry(`p${it.id}`, "pending", owed(it))),
    past.map((it) =>
      it.kind === "dead"
        ? entry(`d${it.entry}`, "dead", given(it))
        : entry(`a${it.number}`, "attempt", tried(it)),
    ),
  );
}

const entry = (key, kind, content) => h("li", { key, "data-test": `timeline-${kind}` }, content);

const owed = (it) => [
  badge({ word: "Owed", icon: "clock", tone: "warn" }),
  " ",
  outside(it.state, 40),
  h(
    "span",
    { class: "muted" },
    " accepted ",
    ago(it.acceptedAt),
    it.attempts ? `, ${counted(it.attempts, "attempt")}` : "",
    dateOf(it.notBefore) > new Date() ? [", next try ", ago(it.notBefore)] : "",
    it.reason ? [": ", outside(it.reason)] : "",
  ),
];

const tried = (it) => [
  outcome(it),
  " ",
  outside(it.state, 40),
  h(
    "span",
    { class: "muted" },
    " attempt ",
    String(it.attempt),
    ", ",
    ago(it.at),
    `, ${milliseconds(it.milliseconds)}`,
  ),
  it.outcome === "2xx" ? null : h("div", null, answer(it)),
];

const given = (it) => [
  badge({ word: "Dead letter", icon: "stop", tone: "bad" }),
  " ",
  outside(it.state, 40),
  h(
    "span",
    { class: "muted" },
    " ",
    ago(it.diedAt),
    ": ",
    reasonWords(it.reason),
    it.status ? `, ${it.status}` : "",
    ". ",
  ),
  h(
    "a",
    {
      href: link("dead-letters", [], {
        task: it.task,
        target: it.target,
        preview: it.id,
        of: it.target,
        entry: it.entry,
      }),
    },
    "Preview and replay",
  ),
];
