// Sections of docs/operations.md, which is part of the program.

import { getRoot } from "./api.js";
import { h } from "./dom.js";

let lines = null;

// The elements of the section whose heading has this anchor; null if there is none.
export async function runbook(anchor) {
  lines ??= (await getRoot("/page/operations.md")).split("\n");
  const start = lines.findIndex((line) => /^#+ /.test(line) && slug(line) === anchor);
  if (start < 0) return null;
  const length = lines.slice(start + 1).findIndex((line) => /^#{1,3} /.test(line));
  return blocks(lines.slice(start + 1, length < 0 ? undefined : start + 1 + length));
}

const slug = (heading) =>
  heading
    .replace(/^#+ /, "")
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

// Paragraphs, lists and code. A table is shown as its text.
function blocks(section) {
  const elements = [];
  let open = [];
  let code = null;
  const close = () => {
    if (open.length) elements.push(textBlock(open));
    open = [];
  };
  for (const line of section) {
    if (line.startsWith("```")) {
      close();
      if (code) elements.push(h("pre", { tabindex: "0" }, code.join("\n")));
      code = code ? null : [];
    } else if (code) {
      code.push(line);
    } else if (line.trim() === "") {
      close();
    } else {
      open.push(line);
    }
  }
  close();
  return elements;
}

function textBlock(open) {
  if (open[0].startsWith("|")) return h("pre", { tabindex: "0" }, open.join("\n"));
  const marker = open[0].match(/^(- |\d+\. )/);
  if (!marker) return h("p", null, inline(open.join(" ")));
  const items = open
    .join("\n")
    .split(/^(?:- |\d+\. )/m)
    .slice(1);
  return h(
    marker[1] === "- " ? "ul" : "ol",
    null,
    items.map((item) => h("li", null, inline(item.replace(/\s*\n\s*/g, " ")))),
  );
}

// Code and emphasis; of a link, its text.
function inline(text) {
  const parts = text.replace(/\[([^\]]+)\]\([^)]*\)/g, "$1").split(/(`[^`]+`|\*\*[^*]+\*\*)/);
  return parts.map((part) => {
    if (part.startsWith("`")) return h("code", null, part.slice(1, -1));
    if (part.startsWith("**")) return h("strong", null, part.slice(2, -2));
    return part;
  });
}
