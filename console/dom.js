// Elements. Text from outside goes in as text nodes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

// A card of the page: a section named by its heading.
let cards = 0;
export function card(title, ...children) {
  const id = `card-${++cards}`;
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

export const empty = (...text) => h("p", { class: "empty" }, ...text);

export function failure(problem, retry) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("p", {}, h("strong", {}, problem.title ?? "That did not work"), problem.detail ? `: ${problem.detail}` : ""),
    problem.reasons?.length
      ? h(
          "ul",
          {},
          problem.reasons.map((reason) => h("li", {}, reason)),
        )
      : null,
    problem.advice ? h("p", {}, problem.advice) : null,
    retry ? h("button", { type: "button", onclick: retry }, "Try again") : null,
  );
}

// Rows of cells; on a narrow screen each cell shows its column's name.
export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => h("th", { scope: "col", class: column.class }, column.title)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((content, index) => cell(columns[index], content)),
          ),
        ),
      ),
    ),
  );
}

export function cell(column, content) {
  return h("td", { class: column.class, "data-label": column.title }, h("div", {}, content ?? "–"));
}

let timer;
export function notice(text, isBad = false) {
  const place = document.getElementById("notice");
  place.textContent = text;
  place.classList.toggle("bad", isBad);
  place.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => place.classList.remove("shown"), 6000);
}
