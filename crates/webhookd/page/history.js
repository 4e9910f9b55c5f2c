// The figures of the last hour, ten seconds a point.

import { getKept } from "./api.js";
import { last } from "./chart.js";

const REFRESH_MS = 10_000;
// Points of the last five minutes.
const RECENT = 30;

// The history, or null if this webhookd keeps none.
export const getHistory = () => getKept("/history", REFRESH_MS);

export const now = (values) => last(values);

const recent = (values) => (values ?? []).slice(-RECENT).reduce((sum, value) => sum + (value ?? 0), 0);

// Which share of the last five minutes' attempts succeeded; null if there was none.
export function success(series) {
  const [delivered, failed] = [recent(series?.rate), recent(series?.failed)];
  return delivered + failed > 0 ? delivered / (delivered + failed) : null;
}

// A series of seconds in milliseconds.
export const inMilliseconds = (values) => values.map((value) => (value == null ? null : value * 1000));
