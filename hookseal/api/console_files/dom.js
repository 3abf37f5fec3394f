// Creates elements. Text is never parsed as HTML, wherever it comes from.

const SVG = "http://www.w3.org/2000/svg";
const ROWS = 10;

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

const nameOf = (one) => one.getAttribute("href") ?? one.getAttribute("name") ?? one.textContent;

// Replaces the content of a box. The keyboard focus stays on the same link or button.
export function redraw(box, ...children) {
  const focused = document.activeElement;
  const inside = focused !== box && box.contains(focused);
  const alike = (one) =>
    one.tagName === focused.tagName && nameOf(one) === nameOf(focused);
  const at = inside ? [...box.querySelectorAll(focused.tagName)].filter(alike).indexOf(focused) : -1;
  box.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  if (!inside) return;
  const found = [...box.querySelectorAll(focused.tagName)].filter(alike);
  const next = found[at] ?? found[0];
  if (next && !next.disabled) next.focus();
  else box.closest("main")?.focus();
}

// The page that is shown of each table, by caption. It survives a refresh.
let pages = {};

// A table with pages of ten rows. On a phone, each row becomes a card. The roles keep it a table
// for screen readers then.
export function table(caption, columns, items, row, empty) {
  if (items.length === 0) return h("p", { class: "dim" }, empty);
  const box = h("div", { class: "paged" });
  const last = Math.ceil(items.length / ROWS) - 1;
  const draw = () => {
    const page = Math.min(pages[caption] ?? 0, last);
    const first = page * ROWS;
    const shown = items.slice(first, first + ROWS);
    const turn = (name, to) =>
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          disabled: to < 0 || to > last,
          onclick: () => {
            pages[caption] = to;
            draw();
          },
        },
        name,
      );
    redraw(
      box,
      h(
        "div",
        { class: "wide" },
        h(
          "table",
          { class: "stack", role: "table" },
          h("caption", {}, caption),
          h("thead", {}, h("tr", { role: "row" }, columns.map((name) => h("th", { scope: "col" }, name)))),
          h(
            "tbody",
            { role: "rowgroup" },
            shown.map((item) =>
              h(
                "tr",
                { role: "row" },
                row(item).map((cell, at) =>
                  h("td", { role: "cell", "data-name": columns[at] || null }, h("div", {}, cell)),
                ),
              ),
            ),
          ),
        ),
      ),
      last > 0
        ? h(
            "nav",
            { class: "row pages", "aria-label": `Pages of: ${caption}` },
            turn("Previous", page - 1),
            h("span", { class: "dim" }, `${first + 1}–${first + shown.length} of ${items.length.toLocaleString()}`),
            turn("Next", page + 1),
          )
        : null,
    );
  };
  draw();
  return box;
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

export const acting = (text, act, kind) =>
  h(
    "button",
    {
      type: "button",
      class: kind ?? null,
      onclick: async (event) => {
        event.target.disabled = true;
        try {
          await act();
        } finally {
          event.target.disabled = false;
        }
      },
    },
    text,
  );

// Asks before an action, and says what follows from it. Returns true if the user confirms.
function confirmed(question, follows, verb) {
  return new Promise((resolve) => {
    const close = (value) => () => box.close(value);
    const box = h(
      "dialog",
      {
        "aria-labelledby": "question",
        "aria-describedby": "follows",
        onclose: () => {
          box.remove();
          resolve(box.returnValue === "yes");
        },
      },
      h("h2", { id: "question" }, question),
      h("p", { id: "follows" }, follows),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "quiet", autofocus: true, onclick: close("no") }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: close("yes") }, verb),
      ),
    );
    document.body.append(box);
    box.showModal();
  });
}

// A button whose action is asked for first.
export const asking = (text, question, follows, act) =>
  acting(
    `${text} …`,
    async () => {
      if (await confirmed(question, follows, text)) await act();
    },
    "quiet",
  );

export function say(text, kind) {
  const box = document.getElementById("said");
  box.replaceChildren(text ? h("p", { class: kind ?? "good" }, text) : "");
  // On a long page, the message would be out of sight.
  if (text) box.scrollIntoView({ block: "nearest" });
}

// Boxes for secrets that are shown once. They survive a refresh of the page, but not its end.
let boxes = {};
export const once = (name) => (boxes[name] ??= h("div"));
export const leave = () => {
  boxes = {};
  pages = {};
  for (const open of document.querySelectorAll("dialog")) open.close("no");
};

export const when = (text) => (text ? new Date(text).toLocaleString() : "");
export const tenantLink = (customer, before = "") =>
  h("a", { class: "id", href: `#/tenants/${encodeURIComponent(customer)}` }, `${before}${customer}`);
export const eventLink = (customer, id) =>
  h("a", { class: "id", href: `#/tenants/${encodeURIComponent(customer)}/events/${encodeURIComponent(id)}` }, id);
