// Sends a test event to a target, and shows the request and the answer.

import * as api from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { milliseconds } from "./time.js";
import { block, notice, pretty } from "./widgets.js";

export function testEvent(name) {
  let busy = false;
  let result = null;
  let failure = null;

  const send = async (event) => {
    event.preventDefault();
    busy = true;
    failure = null;
    dialog.show(content());
    try {
      const text = document.getElementById("test-event").value.trim();
      result = await api.postText(`/targets/${encodeURIComponent(name)}/test`, text || undefined);
    } catch (error) {
      result = null;
      failure = error.isUnknownPath
        ? new Error("This webhookd cannot send test events over its API; use webhookd send.")
        : error;
    }
    busy = false;
    dialog.show(content());
  };

  const content = () => [
    h(
      "form",
      { on: { submit: send } },
      h("label", { for: "test-event" }, "Event (empty: an example)"),
      h("textarea", { id: "test-event", rows: 5, spellcheck: "false", placeholder: "{ … }" }),
      h(
        "p",
        { class: "muted" },
        "It is sent at once and bypasses the queue: it is not retried, and not counted. The receiver gets a real request.",
      ),
      h(
        "div",
        { class: "buttons" },
        h(
          "button",
          { type: "submit", class: "primary", disabled: busy, "data-test": "test-send" },
          busy ? "Sending …" : "Send",
        ),
      ),
    ),
    h(
      "div",
      { class: "stack", "aria-live": "polite", "data-test": "test-result" },
      failure && notice("bad", failure.message),
      result && exchange(result),
    ),
  ];

  const dialog = open(`Send a test event to ${name}`, content());
}

function exchange({ request, answer, error, milliseconds: time }) {
  return [
    error && notice("bad", error),
    h(
      "h3",
      null,
      answer
        ? `Answer: ${answer.status} after ${milliseconds(time)}`
        : `No answer after ${milliseconds(time)}`,
    ),
    answer && [
      answer.headers.length > 0 && block(headerLines(answer.headers)),
      block(pretty(answer.body ?? "")),
    ],
    h("h3", null, "Request"),
    block([`${request.method} ${request.url}`, headerLines(request.headers)].join("\n")),
    block(pretty(request.body ?? "")),
  ];
}

const headerLines = (headers) => (headers ?? []).map(([name, value]) => `${name}: ${value}`).join("\n");
