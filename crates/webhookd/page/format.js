// Numbers, as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

// A count with separators: 12,345.
export const count = (value) => (value == null ? "–" : whole.format(value));

// A count and its noun: 1 event, 2 events.
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

// Events per second.
export function rate(value) {
  if (value == null) return "–";
  if (value === 0) return "0/s";
  return value < 10 ? `${value.toFixed(value < 0.1 ? 2 : 1)}/s` : `${whole.format(value)}/s`;
}

// A share of 1 in percent. Only all is 100 %, and only none is 0 %.
export function percent(share) {
  if (share == null || Number.isNaN(share)) return "–";
  const shown = share * 100;
  if (shown > 99.9 && shown < 100) return "> 99.9 %";
  if (shown > 0 && shown < 0.1) return "< 0.1 %";
  return `${Number(shown.toFixed(shown < 10 || shown > 99 ? 1 : 0))} %`;
}

// Bytes in binary units.
export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024;
  return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}
