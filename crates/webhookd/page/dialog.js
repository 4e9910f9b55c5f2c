// Dialogs: a question before a change, its progress and its result.

import { h, render } from "./dom.js";
import { count } from "./format.js";

// Asks before a change, and runs it. `prepare` finds out what it is about, as `{ question, note, label,
// total }`; `run(progress, total)` does it and returns a sentence.
export function confirm({ title, prepare, danger, run }) {
  const dialog = document.createElement("dialog");
  dialog.dataset.test = "dialog";
  dialog.setAttribute("aria-labelledby", "dialog-title");
  let busy = false;

  const show = (content, ...buttons) =>
    render(
      dialog,
      h("h2", { id: "dialog-title" }, title),
      h("div", { class: "content", "aria-live": "polite" }, content),
      h("div", { class: "buttons" }, buttons),
    );
  const close = (label) =>
    h(
      "button",
      { key: "close", type: "button", "data-test": "dialog-close", on: { click: () => dialog.close() } },
      label,
    );
  const failed = (error) =>
    show(
      h("p", { class: "notice bad", "data-test": "dialog-error" }, `It failed: ${error.message}`),
      close("Close"),
    );

  const act = async (plan) => {
    busy = true;
    const progress = (done) => {
      const most = Math.max(plan.total ?? 0, done);
      show([
        h("progress", {
          "aria-label": title,
          max: most || null,
          value: plan.total == null ? undefined : String(done),
        }),
        h(
          "p",
          { "data-test": "progress" },
          plan.total == null ? "Working …" : `${count(done)} of ${count(most)}`,
        ),
      ]);
    };
    progress(0);
    try {
      const result = await run(progress, plan);
      show(h("p", { "data-test": "dialog-result" }, result), close("Close"));
      dialog.querySelector("button")?.focus();
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
    }
  };

  dialog.addEventListener("cancel", (event) => busy && event.preventDefault());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  show(h("p", { class: "muted" }, "Counting …"), close("Cancel"));
  dialog.showModal();
  Promise.resolve(prepare()).then((plan) => {
    const start = {
      key: "start",
      type: "button",
      class: danger ? "danger" : "primary",
      "data-test": "dialog-confirm",
    };
    show(
      [
        h("p", { "data-test": "dialog-question" }, plan.question),
        plan.note && h("p", { class: "muted" }, plan.note),
      ],
      close("Cancel"),
      plan.label && h("button", { ...start, on: { click: () => act(plan) } }, plan.label),
    );
  }, failed);
}

// Shows something in a dialog that Escape closes.
export function open(title, content, closed) {
  const dialog = document.createElement("dialog");
  dialog.className = "large";
  dialog.dataset.test = "dialog";
  dialog.setAttribute("aria-labelledby", "dialog-title");
  const show = (content) =>
    render(
      dialog,
      h(
        "div",
        { class: "heading" },
        h("h2", { id: "dialog-title" }, title),
        h(
          "button",
          { type: "button", "data-test": "dialog-close", on: { click: () => dialog.close() } },
          "Close",
        ),
      ),
      content,
    );
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
  });
  document.body.append(dialog);
  show(content);
  dialog.showModal();
  return { show, close: () => dialog.close() };
}
