// Times and durations, as people read them.

import { h } from "./dom.js";

const UNITS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

// A duration in its largest unit, with the next one below ten: 45 s, 3 min 20 s, 12 h.
export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return seconds < 0.0005 ? "0 s" : `${Math.round(seconds * 1000)} ms`;
  const whole = Math.floor(seconds);
  const index = UNITS.findIndex(([size]) => whole >= size);
  const [size, unit] = UNITS[index];
  const count = Math.floor(whole / size);
  const [below, belowUnit] = UNITS[index + 1] ?? [0, ""];
  const rest = below && count < 10 ? Math.floor((whole % size) / below) : 0;
  return rest ? `${count} ${unit} ${rest} ${belowUnit}` : `${count} ${unit}`;
}

// Milliseconds, with three digits at most.
export function milliseconds(value) {
  if (value == null) return "–";
  if (value >= 10_000) return duration(value / 1000);
  return value >= 1000
    ? `${(value / 1000).toFixed(1)} s`
    : `${Number(value.toPrecision(value < 10 ? 2 : 3))} ms`;
}

// A date from RFC 3339 or epoch milliseconds; null if there is none.
export function dateOf(moment) {
  const date = moment == null ? null : new Date(moment);
  return date && !Number.isNaN(date.getTime()) ? date : null;
}

// The local date and time to the second, and the offset from UTC.
export function exact(date) {
  const two = (number) => String(number).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "−" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date)} UTC${zone}`;
}

// The local time of day.
export function clock(date) {
  return date.toLocaleTimeString("en-GB");
}

// A moment relative to now. The exact one is shown on hover and focus.
export function ago(moment) {
  const date = dateOf(moment);
  if (!date) return "–";
  const seconds = (Date.now() - date.getTime()) / 1000;
  const words =
    Math.abs(seconds) < 1 ? "now" : seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
  return h("time", { datetime: date.toISOString(), tabindex: "0", "data-exact": exact(date) }, words);
}
