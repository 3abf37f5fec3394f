// Login, navigation and routing.

import { ask, forget, keep, key, Refused } from "./client.js";
import { acting, field, form, h, leave, redraw, say } from "./dom.js";
import { overview } from "./overview.js";
import { event, tenant } from "./tenant.js";
import { tenants } from "./tenants.js";

const EVERY_MS = 2000;
const main = document.getElementById("main");
let who = null;
let turn = 0;
let timer = null;

function showError(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) {
    forget();
    who = null;
    login();
  }
  say(error.message, "bad");
}

// Shows every refused request in one place.
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Refused) {
    event.preventDefault();
    showError(event.reason);
  }
});

function login() {
  leave();
  document.getElementById("nav").replaceChildren();
  document.getElementById("leave").hidden = true;
  main.replaceChildren(
    form(
      "Log in",
      [
        field(
          "Key",
          h("input", { name: "key", type: "password", required: true, autocomplete: "off" }),
          "the admin key, or an API key of a tenant; it is kept in this tab only",
        ),
      ],
      "Log in",
      async (asked) => {
        keep(asked.key.value.trim());
        say("");
        await start();
      },
    ),
  );
  main.querySelector("input").focus();
}

function navigation(page) {
  const links = who.customer_id === null
    ? [["Overview", "#/"], ["Tenants", "#/tenants"]]
    : [[who.customer_id, `#/tenants/${encodeURIComponent(who.customer_id)}`]];
  const here = page === "" && who.customer_id !== null ? links[0][1] : `#/${page}`;
  document.getElementById("nav").replaceChildren(
    ...links.map(([name, target]) => h("a", { href: target, "aria-current": target === here ? "page" : null }, name)),
  );
  document.getElementById("leave").hidden = false;
}

// Returns the parts of the hash, decoded, or null if it is malformed.
function partsOf(path) {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

const startPage = () => h("p", {}, h("a", { href: "#/" }, "Go to the first page"));
const notFound = () => [h("h1", {}, "Page not found."), startPage()];

function pageOf(parts, live) {
  if (parts === null || parts.slice(1).includes("")) return notFound;
  const [kind, customer, more, id] = parts;
  if (kind === "" && parts.length > 1) return notFound;
  if (kind === "" && who.customer_id !== null) return () => tenant(who.customer_id, again, live, false);
  if (kind === "") {
    return async () => {
      live(async (isShown) => {
        const shown = await overview();
        if (isShown()) redraw(main, ...shown);
      });
      return overview();
    };
  }
  if (kind === "tenants" && customer === undefined) return () => tenants();
  if (kind === "tenants" && parts.length === 2) return () => tenant(customer, again, live, who.customer_id === null);
  if (kind === "tenants" && parts.length === 4 && more === "events") return () => event(customer, id);
  return notFound;
}

// Instead of a page that cannot be read: no data and no button of another page stays.
function showFailure(error) {
  const missing = error.status === 404;
  redraw(
    main,
    h("h1", {}, missing ? "Not found." : "The page cannot be shown."),
    h("p", {}, error.message),
    missing ? startPage() : acting("Retry", () => show()),
  );
  document.title = `${main.querySelector("h1").textContent} · hookseal`;
}

// Returns false if a request was refused. With `keeps`, the page stays then, unless it is gone.
async function show({ keeps = false } = {}) {
  const mine = ++turn;
  clearTimeout(timer);
  const path = location.hash.replace(/^#\/?/, "");
  const live = (refresh) => {
    const later = async () => {
      if (mine !== turn) return;
      try {
        // When the response arrives, another page may be shown.
        if (!document.hidden) await refresh(() => mine === turn);
      } catch (error) {
        if (mine !== turn) return;
        showError(error);
        if (error.status === 404) {
          showFailure(error);
          return;
        }
      }
      if (mine === turn) timer = setTimeout(later, EVERY_MS);
    };
    timer = setTimeout(later, EVERY_MS);
  };
  navigation(path);
  if (!keeps) main.replaceChildren(h("p", { class: "dim" }, "Loading …"));
  try {
    const shown = await pageOf(partsOf(path), live)();
    if (mine !== turn) return true;
    redraw(main, ...shown);
    document.title = `${main.querySelector("h1")?.textContent ?? ""} · hookseal`;
    return true;
  } catch (error) {
    if (mine !== turn) return false;
    showError(error);
    if (who && (!keeps || error.status === 404)) showFailure(error);
    return false;
  }
}

// Reports a change after the page shows it.
async function again(text) {
  if (await show({ keeps: true })) say(text);
}

async function start() {
  if (!key()) {
    login();
    return;
  }
  try {
    who = await ask("GET", "/v1/whoami");
  } catch (error) {
    if (error.status !== 401) login();
    showError(error);
    return;
  }
  await show();
}

document.getElementById("leave").addEventListener("click", () => {
  forget();
  who = null;
  turn += 1;
  clearTimeout(timer);
  say("");
  login();
});
// By script, because a link to #main would leave the page.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  leave();
  say("");
  if (who) show().then(() => main.focus());
});
start();
