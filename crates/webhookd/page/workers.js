// Workers: who delivers which part of a queue that several processes share.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, counted } from "./format.js";
import { duration } from "./time.js";
import { badge, empty, missing, notice, outside, section, table } from "./widgets.js";

const COLUMNS = [
  { label: "Worker" },
  { label: "Slots", end: true },
  { label: "Lease renewed" },
  { label: "Lag", end: true },
];

export function workers() {
  let list, shared;

  async function load() {
    const [answer, queue] = await Promise.all([api.getOptional("/workers"), api.get("/queue")]);
    list = answer?.workers;
    shared = queue.shared;
  }

  function render() {
    if (!list) return missing("/workers");
    if (!list.length && !shared) {
      return empty(
        "One process delivers.",
        "The queue is in a directory of this machine. To share the work among several machines, put the queue into PostgreSQL: docs/scale-out.md.",
      );
    }
    const rows = list.map((it) => ({
      key: it.name,
      name: it.name,
      test: "worker-row",
      cells: [
        [outside(it.name), it.self ? [" ", badge({ word: "This one", icon: "info", tone: "quiet" })] : null],
        count(it.slots),
        `${duration(it.leaseAgeSeconds)} ago`,
        it.lagSeconds == null ? "–" : duration(it.lagSeconds),
      ],
    }));
    return [
      shared && !shared.reachable
        ? notice(
            "bad",
            "The database cannot be reached. Accepted events are in it, and are delivered when it is back.",
          )
        : null,
      shared &&
        h(
          "p",
          { class: "lead" },
          `${counted(shared.slots, "slot")} in ${shared.database}; `,
          shared.unclaimedSlots
            ? h(
                "strong",
                { class: "bad" },
                `${counted(shared.unclaimedSlots, "slot has", "slots have")} no worker, and nothing of them is delivered.`,
              )
            : "each has a worker.",
        ),
      list.length
        ? section(
            "Workers with a lease",
            {},
            table({ caption: "Workers with a lease", columns: COLUMNS, rows, test: "workers" }),
          )
        : empty("No worker has a lease.", "The log of each worker says why it has none."),
    ];
  }

  return { title: "Workers", load, render };
}
