// Creates elements. Text is never parsed as HTML, wherever it comes from.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// On a phone, the table becomes a list of cards.
export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return h("p", { class: "dim" }, empty);
  return h(
    "div",
    { class: "wide" },
    h(
      "table",
      { class: "stack" },
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h("tr", {}, row.map((cell, at) => h("td", { "data-name": columns[at] }, cell))),
        ),
      ),
    ),
  );
}

export const field = (name, input, hint) =>
  h("label", {}, name, hint ? h("span", { class: "dim" }, ` ${hint}`) : null, input);

export function form(title, fields, submit, act) {
  const button = h("button", {}, submit);
  return h(
    "form",
    {
      class: "card",
      "aria-label": title,
      onsubmit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          await act(event.target);
        } finally {
          button.disabled = false;
        }
      },
    },
    h("h2", {}, title),
    fields,
    button,
  );
}

export function say(text, kind) {
  const box = document.getElementById("said");
  box.replaceChildren(text ? h("p", { class: kind ?? "good" }, text) : "");
}

// Boxes for secrets that are shown once. They survive a refresh of the page, but not its end.
let boxes = {};
export const once = (name) => (boxes[name] ??= h("div"));
export const leave = () => {
  boxes = {};
};

export const when = (text) => (text ? new Date(text).toLocaleString() : "");
