// Light, dark, or as the system says.

const KEY = "webhookd.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

export const theme = () => {
  const kept = localStorage.getItem(KEY);
  return kept in NEXT ? kept : "auto";
};

export function nextTheme() {
  localStorage.setItem(KEY, NEXT[theme()]);
  apply();
}

function apply() {
  document.documentElement.dataset.theme = theme();
}

apply();
