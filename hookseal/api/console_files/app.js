// Login, navigation and routing.

import { ask, forget, keep, key, Refused } from "./client.js";
import { field, form, h, leave, say } from "./dom.js";
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

function pageOf(parts, live) {
  const [kind, customer, more, id] = parts;
  if (kind === "" && who.customer_id !== null) return () => tenant(who.customer_id, again, live);
  if (kind === "") {
    return async () => {
      live(async (isShown) => {
        const shown = await overview();
        if (isShown()) main.replaceChildren(...shown);
      });
      return overview();
    };
  }
  if (kind === "tenants" && customer === undefined) return () => tenants();
  if (kind === "tenants" && more === "events") return () => event(customer, id);
  if (kind === "tenants") return () => tenant(customer, again, live);
  return async () => [h("h1", {}, "Page not found.")];
}

// Returns false if a request was refused.
async function show() {
  const mine = ++turn;
  clearTimeout(timer);
  const path = location.hash.replace(/^#\/?/, "");
  const parts = path.split("/").map(decodeURIComponent);
  const live = (refresh) => {
    const later = async () => {
      if (mine !== turn) return;
      try {
        // When the response arrives, another page may be shown.
        if (!document.hidden) await refresh(() => mine === turn);
      } catch (error) {
        showError(error);
      }
      if (mine === turn) timer = setTimeout(later, EVERY_MS);
    };
    timer = setTimeout(later, EVERY_MS);
  };
  navigation(path);
  try {
    const shown = await pageOf(parts, live)();
    if (mine !== turn) return true;
    main.replaceChildren(...shown.filter((one) => one !== null));
    document.title = `${main.querySelector("h1")?.textContent ?? ""} · hookseal`;
    return true;
  } catch (error) {
    showError(error);
    return false;
  }
}

// Reports a change after the page shows it.
async function again(text) {
  if (await show()) say(text);
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
addEventListener("hashchange", () => {
  leave();
  say("");
  if (who) show().then(() => main.focus());
});
start();
