// Dead letters, and deliveries that are kept: why events were given up, and their replay or removal.

import * as api from "./api.js";
import {
  FIELDS,
  allGroups,
  amount,
  askToDrop,
  askToReplay,
  firstGroups,
  inWords,
  manyOf,
  partsOf,
  whatOf,
} from "./bulk.js";
import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { preview } from "./letter.js";
import { go, link } from "./router.js";
import { beyondStatus, reasonWords } from "./states.js";
import { ago } from "./time.js";
import { action, empty, notice, outside, section, table, targetLink } from "./widgets.js";

const LETTERS_A_PAGE = 100;

const lettersOf = ({ delivered }) => [
  { label: "Select" },
  { label: delivered ? "Delivered" : "Given up" },
  { label: "Reason" },
  { label: "Task", heading: true },
  { label: "State" },
  { label: "Job" },
  { label: "Target" },
  { label: "Attempts", end: true },
  { label: "Size", end: true },
];

const GROUPS = [
  { label: "Reason" },
  { label: "Last answer" },
  { label: "Target" },
  { label: "Events", end: true },
  { label: "Oldest" },
  { label: "Newest" },
];

export function deadLetters(page, { query }) {
  const filter = Object.fromEntries(
    [...FIELDS, { name: "delivered" }]
      .map(({ name }) => [name, query[name]])
      .filter(([, value]) => value),
  );
  const [what, many] = [whatOf(filter), manyOf(filter)];
  const chosen = new Map();
  let letters, groups, names, next, dialog;
  let isOver = false;
  let isBusy = false;
  // The groups of all, once they were asked for.
  let whole = null;

  async function load() {
    const { cursor } = query;
    let targets, found;
    [{ deadLetters: letters, next }, found, { targets }] = await Promise.all([
      api.get(`/dead-letters${api.query({ ...filter, cursor, limit: LETTERS_A_PAGE })}`),
      whole ?? firstGroups(filter),
      api.get("/queue"),
    ]);
    groups = found;
    names = targets.map((it) => it.name);
    const here = new Set(letters.map(keyOf));
    for (const key of chosen.keys()) if (!here.has(key)) chosen.delete(key);
    if (query.preview && !dialog && !isOver) dialog = preview(page, query, closed);
  }

  // A load that ends later opens no preview.
  const leave = () => {
    isOver = true;
    dialog?.leave();
  };

  // Takes the preview out of the address.
  const closed = () => {
    isOver = true;
    dialog = null;
    if (location.hash.includes("preview="))
      go("dead-letters", [], { ...query, preview: null, of: null, entry: null });
  };

  function render() {
    return [
      filterForm(filter, names),
      section("By reason", { test: "groups-section", key: "groups" }, groupsTable()),
      section("Events", { aside: actions(), test: "letters-section", key: "letters" }, lettersTable()),
    ];
  }

  // Runs something that may read the whole queue in parts, once at a time.
  async function search(run) {
    isBusy = true;
    page.refresh();
    try {
      await run();
    } catch (error) {
      page.say(error.message, "bad");
    }
    isBusy = false;
    if (!isOver) page.refresh();
  }

  const countAll = () =>
    search(async () => {
      groups = whole = { ...(await allGroups(filter)), countedAt: new Date() };
    });

  // Goes to the next dead letters that match.
  const searchOn = () =>
    search(async () => {
      let cursor = next;
      while (cursor && !isOver) {
        const found = await api.get(`/dead-letters${api.query({ ...filter, cursor, limit: 1 })}`);
        if (found.deadLetters.length) return go("dead-letters", [], { ...filter, cursor });
        cursor = found.next;
      }
      if (!isOver) page.say("No other dead letter matches.");
    });

  function groupsTable() {
    if (!groups.groups.length && groups.isWhole)
      return h("p", { class: "muted" }, `No ${what} matches.`);
    const rows = groups.groups.map((it) => ({
      key: `${it.target}-${it.reason}-${it.status}`,
      test: "group-row",
      cells: [
        reasonWords(it.reason),
        it.status
          ? h(
              "a",
              { href: link("dead-letters", [], { ...filter, target: it.target, status: it.status }) },
              String(it.status),
            )
          : h("span", { class: "muted" }, "none"),
        h("a", { href: link("dead-letters", [], { ...filter, target: it.target }) }, it.target),
        count(it.count),
        ago(it.oldest),
        ago(it.newest),
      ],
    }));
    return [
      groups.isWhole
        ? groups.countedAt && h("p", { class: "muted" }, "All, counted ", ago(groups.countedAt), ".")
        : h(
            "p",
            { class: "muted" },
            `Of the first ${many}; there are more. `,
            h(
              "button",
              {
                type: "button",
                class: "small",
                disabled: isBusy,
                "data-test": "count-all",
                on: { click: countAll },
              },
              isBusy ? "Counting …" : "Count all",
            ),
          ),
      rows.length
        ? table({
            caption: `${capital(many)} by reason, last answer and target`,
            columns: GROUPS,
            rows,
            test: "groups",
          })
        : null,
    ];
  }

  function actions() {
    const some = [...chosen.values()];
    const done = () => {
      chosen.clear();
      whole = null;
      page.reload();
    };
    const every = (ask) => () => ask({ filter, done });
    const these = (ask) => () => ask({ letters: some, done });
    const number = `${count(some.length)} selected`;
    if (some.length) {
      return h(
        "div",
        { class: "buttons" },
        h(
          "button",
          {
            type: "button",
            on: { click: () => (chosen.clear(), page.refresh()) },
            "data-test": "select-none",
          },
          "Select none",
        ),
        action(page, `Replay ${number}`, these(askToReplay), { test: "replay-selected", tone: "primary" }),
        action(page, `Drop ${number}`, these(askToDrop), { test: "drop-selected", tone: "danger" }),
      );
    }
    const all = partsOf(filter).length ? "all that match" : "all";
    const selectPage = () => {
      for (const letter of letters) chosen.set(keyOf(letter), letter);
      page.refresh();
    };
    return h(
      "div",
      { class: "buttons" },
      letters.length > 1 &&
        h("button", { type: "button", on: { click: selectPage }, "data-test": "select-page" }, "Select page"),
      action(page, `Replay ${all}`, every(askToReplay), {
        test: "replay-all",
        disabled: !letters.length && !next,
      }),
      action(page, `Drop ${all}`, every(askToDrop), {
        test: "drop-all",
        tone: "danger",
        disabled: !letters.length && !next,
      }),
    );
  }

  function lettersTable() {
    if (!letters.length && !next) {
      if (partsOf(filter).length) {
        return empty(
          `No ${what} matches: ${inWords(filter)}.`,
          h("a", { href: link("dead-letters", [], { delivered: filter.delivered }) }, "Remove the filter"),
          " to see all.",
        );
      }
      return filter.delivered
        ? empty(
            "No deliveries are kept.",
            "Set `retain` of a target in webhook.json, and what is delivered to it from then on can be sent again to a receiver that has lost its data.",
          )
        : empty(
            "There are no dead letters.",
            "An event that a receiver refuses, or that fails until it is too old, is kept here. It can be replayed once the receiver is repaired.",
          );
    }
    return [
      letters.length
        ? table({ caption: capital(many), columns: lettersOf(filter), rows: letters.map(letterRow), test: "letters" })
        : notice("info", `None of the ${many} read for this page matches; there are more.`),
      h(
        "div",
        { class: "pages" },
        h("span", { class: "muted" }, amount(groups)),
        query.cursor && h("a", { href: link("dead-letters", [], { ...filter }) }, "First page"),
        next && letters.length
          ? h(
              "a",
              { href: link("dead-letters", [], { ...filter, cursor: next }), "data-test": "next-page" },
              "Next page",
            )
          : null,
        next && !letters.length
          ? h(
              "button",
              { type: "button", disabled: isBusy, "data-test": "search-on", on: { click: searchOn } },
              isBusy ? "Searching …" : "Search on",
            )
          : null,
      ),
    ];
  }

  function letterRow(letter) {
    const key = keyOf(letter);
    const toggle = (event) => {
      if (event.currentTarget.checked) chosen.set(key, letter);
      else chosen.delete(key);
      page.refresh();
    };
    const label = `Select the event ${letter.id} for ${letter.target}`;
    return {
      key,
      name: letter.id,
      test: "letter-row",
      tone: chosen.has(key) ? "chosen" : null,
      cells: [
        h("input", {
          type: "checkbox",
          checked: chosen.has(key),
          "aria-label": label,
          "data-test": "select",
          on: { change: toggle },
        }),
        ago(letter.diedAt),
        reason(letter),
        h("a", { href: link("tasks", [letter.task]) }, outside(letter.task, 60)),
        outside(letter.state, 30),
        outside(letter.job, 60),
        targetLink(letter.target),
        letter.attempts,
        bytes(letter.bytes),
      ],
    };
  }

  const reason = (letter) => [
    h(
      "a",
      {
        href: link("dead-letters", [], {
          ...query,
          preview: letter.id,
          of: letter.target,
          entry: letter.entry,
        }),
        "data-test": "preview",
      },
      letter.delivered ? "Delivered" : reasonWords(letter.reason),
      letter.status ? `, ${letter.status}` : "",
    ),
    said(letter),
  ];

  return { title: filter.delivered ? "Delivered events kept" : "Dead letters", load, render, leave };
}

// What went wrong, or what the receiver answered if its status says that.
function said({ status, detail, response }) {
  const words = beyondStatus(status, detail) || response;
  return words && h("div", { class: "muted" }, outside(words, 60));
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);
const keyOf = (letter) => `${letter.target}:${letter.entry}`;

function filterForm(filter, names) {
  const submit = (event) => {
    event.preventDefault();
    const wanted = Object.fromEntries(new FormData(event.currentTarget));
    go("dead-letters", [], wanted);
  };
  const field = ({ name, label, hint }) =>
    h(
      "label",
      { key: name },
      label,
      name === "target"
        ? h(
            "select",
            { name, "data-test": "filter-target" },
            h("option", { value: "", selected: !filter.target }, "Any"),
            names.map((it) => h("option", { key: it, value: it, selected: it === filter.target }, it)),
          )
        : h("input", {
            name,
            value: filter[name] ?? "",
            placeholder: hint,
            autocomplete: "off",
            spellcheck: "false",
            "data-test": `filter-${name}`,
          }),
    );
  return h(
    "form",
    { class: "filter", key: "filter", "aria-label": "Filter", on: { submit } },
    h(
      "label",
      { key: "delivered" },
      "Show",
      h(
        "select",
        { name: "delivered", "data-test": "filter-delivered" },
        h("option", { value: "", selected: !filter.delivered }, "Dead letters"),
        h("option", { value: "true", selected: !!filter.delivered }, "Delivered events kept"),
      ),
    ),
    FIELDS.filter(({ rare, name }) => !rare || filter[name]).map(field),
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "submit", class: "primary", "data-test": "filter-apply" }, "Filter"),
      Object.keys(filter).length
        ? h("a", { class: "button", href: link("dead-letters"), "data-test": "filter-clear" }, "Clear")
        : null,
    ),
  );
}
