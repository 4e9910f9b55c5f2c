// Addresses of views: #/VIEW/PART?NAME=VALUE. The server does not get to see them.

// The address in the location, as { view, parts, query }.
export function current() {
  const [path, query] = split(location.hash.replace(/^#\/?/, ""), "?");
  const [view, ...parts] = path.split("/").map(decoded);
  return { view: view || "overview", parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

// The address of a view, for an href.
export function link(view, parts = [], query = {}) {
  const path = [view, ...parts].map((part) => encodeURIComponent(part.toWellFormed?.() ?? part)).join("/");
  const filled = Object.entries(query).filter(([, value]) => value != null && value !== "");
  return `#/${path}${filled.length ? `?${new URLSearchParams(filled)}` : ""}`;
}

export const go = (...address) => {
  location.hash = link(...address);
};

function split(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
