// Replays or drops many dead letters: asks with their number, and does it in parts.

import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { count, counted } from "./format.js";

// Dead letters that one request changes.
const PART = 1000;

// The parts of a filter.
export const FIELDS = [
  { name: "target", label: "Target", words: "target" },
  { name: "task", label: "Task id", words: "task" },
  { name: "job", label: "Job", words: "job", hint: "role/env/*" },
  { name: "status", label: "Answer or state", words: "status", hint: "503, 5xx, FAILED" },
  { name: "since", label: "Given up since", words: "given up since", hint: "2h, 7d, 2026-11-30" },
  { name: "until", label: "Given up before", words: "given up before", hint: "1h, 2026-11-30T10:00" },
  { name: "input", label: "Input", words: "input", rare: true },
  { name: "id", label: "Webhook id", words: "id", rare: true },
];

// What a filter is of: dead letters, or the deliveries that targets with `retain` keep.
export const whatOf = (filter) => (filter.delivered ? "kept delivery" : "dead letter");
export const manyOf = (filter) => (filter.delivered ? "kept deliveries" : "dead letters");

// The parts of a filter in use.
export const partsOf = (filter) => Object.keys(filter).filter((name) => name !== "delivered");

// A filter as a sentence part: target audit, status 5xx.
export const inWords = (filter) =>
  FIELDS.filter(({ name }) => filter[name])
    .map(({ name, words }) => `${words} ${filter[name]}`)
    .join(", ") || "all";

// The groups of dead letters as one: `{ groups, isWhole }`, after a part of them.
function joined(all, part) {
  const found = new Map(all.groups.map((it) => [keyOf(it), it]));
  for (const it of part.groups) {
    const other = found.get(keyOf(it));
    found.set(
      keyOf(it),
      other
        ? {
            ...it,
            count: other.count + it.count,
            oldest: Math.min(other.oldest, it.oldest),
            newest: Math.max(other.newest, it.newest),
          }
        : it,
    );
  }
  return { groups: [...found.values()], isWhole: !part.next };
}

const keyOf = ({ target, reason, status }) => JSON.stringify([target, reason, status]);

// The groups of the first dead letters, as far as one request reads.
export async function firstGroups(filter) {
  return joined({ groups: [] }, await api.get(`/dead-letters/groups${api.query(filter)}`));
}

// The groups of all dead letters, read in parts.
export async function allGroups(filter) {
  let all = { groups: [] };
  let cursor;
  do {
    const part = await api.get(`/dead-letters/groups${api.query({ ...filter, cursor })}`);
    all = joined(all, part);
    cursor = part.next;
  } while (cursor);
  return all;
}

const total = ({ groups }) => groups.reduce((sum, it) => sum + it.count, 0);

// How many match, in words.
export function amount(groups) {
  const found = total(groups);
  return groups.isWhole
    ? `${counted(found, "event")} match${found === 1 ? "es" : ""}.`
    : `${found ? "More" : "There may be more"} than ${counted(found, "event")} ${found ? "match" : "that match"}.`;
}

// How many match.
async function matches(filter, until) {
  if (partsOf(filter).some((name) => name !== "target"))
    return total(await allGroups({ ...filter, until }));
  const { targets } = await api.get("/queue");
  const own = targets.filter((it) => !filter.target || it.name === filter.target);
  return own.reduce((sum, it) => sum + (filter.delivered ? it.kept : it.deadLetters), 0);
}

export const askToReplay = (what) =>
  ask({
    ...what,
    path: "/dead-letters/replay",
    member: "replayed",
    verb: "Replay",
    past: "put back into the queue",
    note: ({ delivered }) =>
      delivered
        ? "The receiver has had these events and gets them again, under the same ids: one that remembers ids ignores them. They are sent before the other queued events of their tasks."
        : "They keep their ids, and are sent before the other queued events of their tasks.",
  });

export const askToDrop = (what) =>
  ask({
    ...what,
    path: "/dead-letters/drop",
    member: "dropped",
    verb: "Drop",
    past: "deleted",
    note: () => "They are deleted for good. This cannot be undone.",
    danger: true,
  });

// Asks, and changes either `letters` or all that match `filter`.
function ask({ letters, filter, done, path, member, verb, past, note, danger }) {
  const of = { delivered: letters ? letters[0].delivered : filter.delivered };
  // What is given up from now on is neither counted nor changed.
  const until = filter?.until ?? api.serverTime();
  confirm({
    title: `${verb} ${manyOf(of)}`,
    danger,
    prepare: async () => {
      const number = letters ? letters.length : await matches(filter, until);
      if (!number) return { question: `No ${whatOf(of)} matches any more.` };
      const many = `${count(number)} ${number === 1 ? whatOf(of) : manyOf(of)}`;
      const which = letters ? "" : ` (${inWords(filter)})`;
      return {
        question: `${verb} ${many}${which}?`,
        note: note(of),
        label: `${verb} ${many}`,
        total: number,
      };
    },
    run: async (progress) => {
      const changed = letters
        ? await changeThese(letters, path, member, progress)
        : await changeAll({ ...filter, until }, path, member, progress);
      done();
      return `${counted(changed, "event")} ${changed === 1 ? "was" : "were"} ${past}.`;
    },
  });
}

// One request for each target.
async function changeThese(letters, path, member, progress) {
  let changed = 0;
  for (const [target, own] of Map.groupBy(letters, (it) => it.target)) {
    const entries = own.map((it) => it.entry);
    const answer = await api.post(path, { target, entries, delivered: own[0].delivered });
    progress((changed += answer[member]));
  }
  return changed;
}

// Repeats a request for the next part until nothing is left.
async function changeAll(filter, path, member, progress) {
  const which = { ...filter, delivered: filter.delivered ? true : undefined, limit: PART };
  let changed = 0;
  for (;;) {
    const answer = await api.post(path, which);
    progress((changed += answer[member]));
    if (!answer.more) return changed;
  }
}
