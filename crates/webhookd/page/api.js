// Requests to the admin API. The token is kept in this tab only.

const TOKEN = "webhookd.token";
const PATIENCE_MS = 10_000;

// webhookd did not answer.
export class Away extends Error {}

// webhookd answered with an error.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `HTTP status ${status}`);
    this.status = status;
    this.problem = problem;
  }
  // Whether this version of webhookd does not have the path at all.
  get isUnknownPath() {
    return this.status === 404 && this.message.startsWith("there is no /");
  }
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;
export const setToken = (token) => sessionStorage.setItem(TOKEN, token);
export const forgetToken = () => {
  sessionStorage.removeItem(TOKEN);
  kept.clear();
};

// The JSON at a path below /api/v1, or at an absolute one with `root`.
export const get = (path) => request("GET", `/api/v1${path}`);
export const getRoot = (path) => request("GET", path);
export const post = (path, body) => request("POST", `/api/v1${path}`, body && JSON.stringify(body));
// What a POST finds that changes nothing.
export const find = (path, body) => request("POST", `/api/v1${path}`, JSON.stringify(body), true);
export const findByText = (path, text) => request("POST", `/api/v1${path}`, text, true);
export const postText = (path, text) => request("POST", `/api/v1${path}`, text);

// As `get`, but null if this webhookd does not have the path.
export async function getOptional(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.isUnknownPath) return null;
    throw error;
  }
}

const kept = new Map();

// As `getOptional`, and asks again after `milliseconds` only.
export async function getKept(path, milliseconds) {
  const found = kept.get(path);
  if (found && performance.now() - found.at < milliseconds) return found.value;
  const value = await getOptional(path);
  kept.set(path, { at: performance.now(), value });
  return value;
}

// A query of the parts that are not empty, with its question mark.
export function query(parts) {
  const filled = Object.entries(parts).filter(([, value]) => value != null && value !== "");
  return filled.length ? `?${new URLSearchParams(filled)}` : "";
}

let serverDate = null;

// The time of webhookd's machine, to the second, or a second later.
export const serverTime = () => new Date(new Date(serverDate ?? Date.now()).getTime() + 1000).toISOString();

async function request(method, path, body, reads = method === "GET") {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers["Authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, body, credentials: "omit", cache: "no-store", redirect: "error" };
  // A change may take long, and is not given up.
  if (reads) options.signal = AbortSignal.timeout(PATIENCE_MS);
  let answer, text;
  try {
    answer = await fetch(path, options);
    serverDate = answer.headers.get("Date");
    text = await answer.text();
  } catch (error) {
    throw new Away(error.message);
  }
  if (!answer.ok) throw new Refused(answer.status, parsed(text));
  return text && answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
