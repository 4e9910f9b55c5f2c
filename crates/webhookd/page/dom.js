// Elements as plain objects, and their rendering into the document. All text becomes text nodes.

const SVG = "http://www.w3.org/2000/svg";
// Set as properties: their attributes are only the initial values.
const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "hidden"]);
// Elements whose text keeps its lines.
const KEEPS_LINES = new Set(["pre", "textarea"]);

// An element. `props` are attributes; `key` identifies it among its siblings, `on` has listeners.
export function h(tag, props, ...children) {
  const shown = children.flat(Infinity).filter((child) => child != null && child !== false && child !== "");
  return { tag, props: props ?? {}, children: shown };
}

// Makes the children of `parent` equal to `children`, and keeps the nodes that are the same: focus,
// scroll position, selected text and open details stay.
export function render(parent, ...children) {
  const wanted = children.flat(Infinity).filter((child) => child != null && child !== false && child !== "");
  const keyed = new Map();
  const others = [];
  for (const node of parent.childNodes) {
    if (node.shown?.key !== undefined) keyed.set(node.shown.key, node);
    else others.push(node);
  }
  let place = parent.firstChild;
  for (const child of wanted) {
    const node = reuse(child, keyed, others) ?? create(child, parent);
    update(node, child);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of [...keyed.values(), ...others]) node.remove();
}

// Takes the existing node for a child out of the lists, if there is one.
function reuse(child, keyed, others) {
  const tag = child.tag ?? "#text";
  const key = child.props?.key;
  if (key !== undefined) {
    const node = keyed.get(key);
    if (node?.localName !== tag) return undefined;
    keyed.delete(key);
    return node;
  }
  const index = others.findIndex((node) => (node.localName ?? node.nodeName) === tag);
  return index < 0 ? undefined : others.splice(index, 1)[0];
}

function create(child, parent) {
  if (child.tag === undefined) return document.createTextNode("");
  const isSvg = child.tag === "svg" || parent.namespaceURI === SVG;
  const node = isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node.listening = new Set();
  return node;
}

function update(node, child) {
  if (child.tag === undefined) {
    const text = visible(String(child), KEEPS_LINES.has(node.parentNode?.localName));
    if (node.data !== text) node.data = text;
    return;
  }
  const before = node.shown ?? {};
  node.shown = child.props;
  for (const name of Object.keys(before)) {
    if (!(name in child.props)) setProp(node, name, undefined);
  }
  for (const [name, value] of Object.entries(child.props)) {
    if (before[name] !== value) setProp(node, name, value);
  }
  if (KEEPS_LINES.has(child.tag)) {
    const text = visible(child.children.join(""), true);
    if (node.textContent !== text) node.textContent = text;
  } else {
    render(node, child.children);
  }
}

function setProp(node, name, value) {
  if (name === "key") return;
  if (name === "on") {
    for (const event of Object.keys(value ?? {})) listen(node, event);
  } else if (PROPERTIES.has(name)) {
    node[name] = value ?? (name === "value" ? "" : false);
  } else if (value == null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : visible(String(value)));
  }
}

// One listener for each event of a node. It calls what was rendered last.
function listen(node, event) {
  if (node.listening.has(event)) return;
  node.listening.add(event);
  node.addEventListener(event, (occurred) => node.shown.on?.[event]?.(occurred));
}

// The text with each control, format and bidirectional character written as \u{…}, so that text from
// outside can neither hide nor reorder anything.
export function visible(text, keepLines = false) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (unseen) =>
    keepLines && (unseen === "\n" || unseen === "\t") ? unseen : escaped(unseen),
  );
}

function escaped(unseen) {
  const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[unseen];
  return short ?? `\\u{${unseen.codePointAt(0).toString(16)}}`;
}

// The first `length` characters of a text, with … if it is longer.
export function cut(text, length) {
  return text.length <= length ? text : text.slice(0, length).replace(/[\ud800-\udbff]$/, "") + "…";
}
