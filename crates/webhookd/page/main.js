// Starts the page: shows the view of the address, polls, and says when webhookd does not answer.

import * as api from "./api.js";
import { h, render, visible } from "./dom.js";
import * as keyboard from "./keyboard.js";
import { current, go, link } from "./router.js";
import { nextTheme, theme } from "./theme.js";
import { ago, clock } from "./time.js";
import { badge, icon, loading, notice } from "./widgets.js";
import { alerts } from "./alerts.js";
import { config } from "./config.js";
import { deadLetters } from "./dead_letters.js";
import { overview } from "./overview.js";
import { target } from "./target.js";
import { targets } from "./targets.js";
import { task } from "./task.js";
import { workers } from "./workers.js";

const POLL_MS = 2000;
const SLOW_POLL_MS = 10_000;
const MESSAGE_MS = 8000;

const VIEWS = [
  ["overview", "Overview", overview],
  ["targets", "Targets", (page, address) => (address.parts.length ? target : targets)(page, address)],
  ["dead-letters", "Dead letters", deadLetters],
  ["tasks", "Task", task],
  ["config", "Configuration", config],
  ["workers", "Workers", workers],
  ["alerts", "Alerts", alerts],
];

const byId = (id) => document.getElementById(id);

// What all views share.
const page = {
  status: null,
  alerts: null,
  readOnly: false,
  // Shows the view again.
  refresh: () => show(),
  // Asks the server now.
  reload: () => poll(),
  // Shows the result of an action for some seconds.
  say(text, tone = "good") {
    const message = { text, tone, key: `message-${performance.now()}` };
    messages.push(message);
    showMessages();
    setTimeout(() => {
      messages = messages.filter((it) => it !== message);
      showMessages();
    }, MESSAGE_MS);
  },
  // Has a screen reader read a change that is seen elsewhere.
  announce: (text) => render(byId("live"), text),
};

let messages = [];
let view = null;
let viewName = "";
let failure = null;
let isLoaded = false;
let awaySince = null;
let answeredAt = null;
let wantsToken = false;
let wasWrong = false;
let round = 0;
let timer;

function navigate() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const address = current();
  const known = VIEWS.find(([name]) => name === address.view);
  if (!known) return go("overview");
  const focused = document.activeElement;
  const isOther = viewName !== location.hash.split("?")[0];
  viewName = location.hash.split("?")[0];
  view?.leave?.();
  view = known[2](page, address);
  failure = null;
  isLoaded = false;
  document.title = visible(`${view.title} · webhookd`);
  show();
  if (isOther) {
    scrollTo(0, 0);
    // A link that had the focus may be gone from the document by now.
    if (focused !== document.body && focused.id !== "search-text")
      byId("view").focus({ preventScroll: true });
  }
  poll();
}

// Loads what the view shows, and again after two seconds, unless the tab is hidden.
async function poll() {
  clearTimeout(timer);
  const mine = ++round;
  const asked = view;
  try {
    if (!wantsToken) await load(asked);
  } finally {
    if (mine === round) {
      const asksNow = wantsToken && !byId("token");
      show();
      if (asksNow) byId("token").focus();
      if (!document.hidden) timer = setTimeout(poll, POLL_MS);
    }
  }
}

async function load(asked) {
  try {
    const [status, session, alerts] = await Promise.all([
      api.get("/status"),
      api.getKept("/session", SLOW_POLL_MS),
      api.getKept("/alerts", SLOW_POLL_MS),
    ]);
    returned(status);
    page.status = status;
    page.readOnly = session?.access === "read";
    page.alerts = alerts?.alerts ?? null;
    await asked.load();
    if (asked !== view) return;
    failure = null;
    isLoaded = true;
  } catch (error) {
    if (error instanceof api.Away) {
      awaySince ??= answeredAt ?? new Date();
    } else if (error.status === 401) {
      wantsToken = true;
      wasWrong = api.hasToken();
      api.forgetToken();
    } else {
      if (error instanceof api.Refused) answered();
      else console.error(error);
      if (asked === view) failure = error;
    }
  }
}

function answered() {
  awaySince = null;
  answeredAt = new Date();
}

function returned(status) {
  const wasAway = awaySince !== null;
  answered();
  const restarted = page.status && page.status.startedAt !== status.startedAt;
  if (restarted) page.say("webhookd was restarted. Its counters start from zero.");
  else if (wasAway) page.say("webhookd answers again.");
}

function show() {
  render(byId("nav"), VIEWS.map(navItem));
  render(byId("badges"), badges());
  render(byId("tools"), tools());
  render(byId("banner"), awaySince && !wantsToken && banner());
  document.body.classList.toggle("away", awaySince !== null);
  render(byId("view"), wantsToken ? tokenForm() : content());
}

function content() {
  const failed = failure && notice("bad", h("p", { "data-test": "failure" }, failure.message));
  return [
    h("h1", { key: "title" }, view.heading ?? view.title),
    failed,
    isLoaded ? view.render() : failed ? null : loading(),
  ];
}

function navItem([name, label]) {
  const here = current().view === name;
  const number = name === "alerts" && page.alerts?.length;
  return h(
    "a",
    { key: name, href: link(name), "aria-current": here ? "page" : null, "data-test": `nav-${name}` },
    label,
    number ? h("span", { class: "number", title: "Alerts that hold now" }, String(number)) : null,
  );
}

function badges() {
  const { status } = page;
  if (!status || wantsToken) return null;
  const ready = status.ready
    ? badge({ word: "Ready", icon: "ok", tone: "good" }, { "data-test": "ready" })
    : badge({ word: "Not ready", icon: "broken", tone: "bad" }, { "data-test": "ready" });
  return [
    ready,
    page.readOnly && badge({ word: "Read only", icon: "info", tone: "quiet" }, { "data-test": "read-only" }),
  ];
}

function tools() {
  const forget = () => {
    api.forgetToken();
    wantsToken = true;
    wasWrong = false;
    show();
  };
  const other = () => {
    nextTheme();
    show();
  };
  return [
    api.hasToken() &&
      h(
        "button",
        { key: "forget", type: "button", class: "small", "data-test": "forget-token", on: { click: forget } },
        "Forget token",
      ),
    h(
      "button",
      { key: "theme", type: "button", class: "small", "data-test": "theme", on: { click: other } },
      `Theme: ${theme()}`,
    ),
    h(
      "button",
      {
        key: "keys",
        type: "button",
        class: "small",
        "data-test": "help",
        title: "Keys",
        "aria-label": "? Keys",
        on: { click: keyboard.showKeys },
      },
      "?",
    ),
  ];
}

function banner() {
  return h(
    "div",
    { class: "notice bad", "data-test": "away" },
    icon("broken"),
    h(
      "div",
      null,
      h("strong", { role: "alert" }, `webhookd has not answered since ${clock(awaySince)}`),
      " (",
      ago(awaySince),
      "). ",
      page.status ? "The figures are from then. " : "",
      "The page asks again every 2 s.",
    ),
  );
}

function tokenForm() {
  const submit = (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    if (!token) return;
    api.setToken(token);
    wantsToken = false;
    poll();
  };
  return h(
    "form",
    { id: "token-form", key: "token-form", class: "panel", "data-test": "token-form", on: { submit } },
    h("h1", null, "webhookd asks for a token"),
    wasWrong && notice("bad", h("p", { "data-test": "token-wrong" }, "webhookd does not accept this token.")),
    h("label", { for: "token" }, "Token"),
    h("input", {
      id: "token",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      "aria-describedby": "token-help",
    }),
    h(
      "p",
      { id: "token-help", class: "muted" },
      "The content of the file of ",
      h("code", null, "--admin-token-file"),
      " or ",
      h("code", null, "--admin-readonly-token-file"),
      ". This tab keeps it until it is closed.",
    ),
    h("button", { type: "submit", class: "primary", "data-test": "token-submit" }, "Continue"),
  );
}

function showMessages() {
  render(
    byId("messages"),
    messages.map(({ text, tone, key }) =>
      h(
        "div",
        { key, class: `notice ${tone}`, "data-test": "message" },
        icon(tone === "good" ? "ok" : "broken"),
        h("div", null, text),
      ),
    ),
  );
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("search-text").value.trim();
  if (text) go("tasks", [text]);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});
addEventListener("hashchange", navigate);
keyboard.listen();
navigate();
