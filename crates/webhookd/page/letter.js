// One dead letter: the event, the last answer, and why there was no further attempt.

import * as api from "./api.js";
import { askToDrop, askToReplay } from "./bulk.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { bytes, counted } from "./format.js";
import { link } from "./router.js";
import { beyondStatus, reasonWords } from "./states.js";
import { ago } from "./time.js";
import { action, block, copyButton, loading, notice, outside, pretty, targetLink } from "./widgets.js";

// Opens the dead letter that the address names. `closed` is called if the user closes it.
export function preview(page, { preview: id, of: target, entry, delivered }, closed) {
  let left = false;
  const dialog = open(delivered ? "Delivered event" : "Dead letter", loading(), () => left || closed());
  const fill = async () => {
    const { deadLetters } = await api.get(
      `/dead-letters/${encodeURIComponent(id)}${api.query({ target, entry, delivered })}`,
    );
    const letter = deadLetters[0];
    dialog.show(content(page, letter, () => dialog.close()));
  };
  fill().catch((error) => dialog.show(notice("bad", error.message)));
  return {
    leave: () => {
      left = true;
      dialog.close();
    },
  };
}

function content(page, letter, close) {
  const done = () => {
    close();
    page.reload();
  };
  const detail = beyondStatus(letter.status, letter.detail);
  const facts = [
    ["Target", targetLink(letter.target)],
    ["Task", h("a", { href: link("tasks", [letter.task]) }, outside(letter.task))],
    ["Job", outside(letter.job)],
    ["State", outside(letter.state)],
    ["Webhook id", h("code", null, letter.id)],
    ["Accepted", ago(letter.acceptedAt)],
    [letter.delivered ? "Delivered" : "Given up", ago(letter.diedAt)],
    ["Attempts", counted(letter.attempts, "attempt")],
    !letter.delivered && ["Reason", [reasonWords(letter.reason), letter.status ? `, ${letter.status}` : ""]],
    detail && ["Detail", outside(detail, 500)],
  ].filter(Boolean);
  const one = { letters: [letter], done };
  return h(
    "div",
    { class: "stack", "data-test": "letter" },
    h(
      "div",
      { class: "buttons" },
      action(page, "Replay", () => askToReplay(one), { test: "letter-replay", tone: "primary" }),
      action(page, "Drop", () => askToDrop(one), { test: "letter-drop", tone: "danger" }),
    ),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    ),
    !letter.delivered && [
      h("h3", null, "Last answer"),
      letter.response == null
        ? h("p", { class: "muted" }, "There was no answer.")
        : block(letter.response, { test: "letter-answer" }),
    ],
    h(
      "div",
      { class: "heading" },
      h("h3", null, `Event, ${bytes(letter.bytes)}`),
      copyButton(letter.event, "the event"),
    ),
    block(pretty(letter.event), { test: "letter-event" }),
  );
}
