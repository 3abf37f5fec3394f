// One tenant: keys, endpoints, events, deliveries, dead letters.

import { ask, everything, tenantPath } from "./client.js";
import { field, form, h, once, say, table, when } from "./dom.js";

const SHOWN = 50;

const acting = (text, act, quiet) =>
  h(
    "button",
    {
      type: "button",
      class: quiet ? "quiet" : null,
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

function code(text) {
  return h("span", { class: text === "accepted" ? "good" : "bad" }, text);
}

function state(endpoint) {
  const kinds = { active: "good", suspended: "wait", disabled: "bad" };
  const since = endpoint.suspended_since ? ` since ${when(endpoint.suspended_since)}` : "";
  const why = endpoint.disabled_reason ? `, ${endpoint.disabled_reason}` : "";
  return h("span", { class: kinds[endpoint.state] }, `${endpoint.state}${since}${why}`);
}

function keys(path, found, again) {
  return [
    h(
      "section",
      {},
      h("h2", {}, "Public keys"),
      table(
        "The active one seals",
        ["key id", "algorithm", "state", ""],
        found.public_keys.map((one) => [
          h("code", {}, one.kid),
          one.alg,
          h("span", { class: one.state === "active" ? "good" : "dim" }, one.state),
          acting(
            "Forget",
            async () => {
              await ask("DELETE", `${path}/public-keys/${encodeURIComponent(one.kid)}`);
              await again("Forgotten.");
            },
            true,
          ),
        ]),
        "None: nothing can be sealed, and events become dead letters.",
      ),
      h(
        "details",
        { open: found.public_keys.length === 0 },
        h("summary", {}, "Add a public key"),
        form(
          "Add a public key",
          [
            field("Key", h("textarea", { name: "pem", spellcheck: "false", class: "code" }), "PEM or JWK; RSA from 2048 bits, P-256 or X25519"),
            field("or a file", h("input", { name: "file", type: "file" })),
          ],
          "Add the key",
          async (asked) => {
            const file = asked.file.files[0];
            const text = file ? await file.text() : asked.pem.value;
            await ask("POST", `${path}/public-keys`, { public_key: text });
            await again("The key is active: events are sealed to it from now on.");
          },
        ),
      ),
    ),
  ];
}

function apiKeys(path, found, again) {
  const made = once("api-key");
  return h(
    "section",
    {},
    h("h2", {}, "API keys"),
    table(
      "Two at most, so that one can be exchanged for another",
      ["id", "may", "made", ""],
      found.api_keys.map((one) => [
        h("code", {}, one.id),
        one.scopes.join(", "),
        when(one.created_at),
        acting(
          "Revoke",
          async () => {
            await ask("DELETE", `${path}/api-keys/${encodeURIComponent(one.id)}`);
            await again("Revoked.");
          },
          true,
        ),
      ]),
      "None.",
    ),
    made,
    h(
      "div",
      { class: "row" },
      acting(
        "Make another key",
        async () => {
          const answer = await ask("POST", `${path}/api-keys`, {});
          made.replaceChildren(
            h("div", { class: "once" }, h("p", {}, "The key, shown this once:"), h("code", { id: "api-key" }, answer.api_key)),
          );
          say("Made.");
        },
        true,
      ),
    ),
  );
}

function endpoints(path, found, again) {
  const secret = once("signing-secret");
  const change = (one, body, told) => async () => {
    await ask("PATCH", `${path}/endpoints/${encodeURIComponent(one.id)}`, body);
    await again(told);
  };
  const post = (one, verb, told) => async () => {
    await ask("POST", `${path}/endpoints/${encodeURIComponent(one.id)}/${verb}`, {});
    await again(told);
  };
  return h(
    "section",
    {},
    h("h2", {}, "Endpoints"),
    table(
      "Where events go",
      ["URL", "events", "state", ""],
      found.endpoints.map((one) => [
        h("div", {}, h("code", {}, one.url), h("div", { class: "dim code" }, one.id)),
        one.event_types.join(", "),
        state(one),
        h(
          "div",
          { class: "row" },
          acting("Send a test event", post(one, "test", "The test event is on its way.")),
          one.state === "suspended"
            ? acting("Try now", post(one, "resume", "It is tried now."), true)
            : null,
          one.enabled
            ? acting("Disable", change(one, { enabled: false }, "Disabled."), true)
            : acting("Enable", change(one, { enabled: true }, "Enabled."), true),
        ),
      ]),
      "None: nothing is delivered.",
    ),
    secret,
    h(
      "details",
      { open: found.endpoints.length === 0 },
      h("summary", {}, "Add an endpoint"),
      form(
        "Add an endpoint",
        h(
          "div",
          { class: "row" },
          field("URL", h("input", { name: "url", type: "url", required: true, placeholder: "https://" })),
          field("Event types", h("input", { name: "types", value: "*", required: true }), "order.paid, order.*, *"),
        ),
        "Add the endpoint",
        async (asked) => {
          const answer = await ask("POST", `${path}/endpoints`, {
            url: asked.url.value,
            event_types: asked.types.value.split(",").map((one) => one.trim()),
          });
          secret.replaceChildren(
            h("div", { class: "once" }, h("p", {}, "Its signing secret, shown this once:"), h("code", { id: "signing-secret" }, answer.signing_secret)),
          );
          await again("Added.");
        },
      ),
    ),
  );
}

function publishing(customer) {
  return form(
    "Publish an event",
    [
      h(
        "div",
        { class: "row" },
        field("Type", h("input", { name: "type", value: "console.tried", required: true })),
        field("Data", h("input", { name: "data", value: '{"hello": "world"}', class: "code" }), "JSON"),
      ),
    ],
    "Publish",
    async (asked) => {
      let data;
      try {
        data = JSON.parse(asked.data.value);
      } catch {
        say("The data are no JSON.", "bad");
        return;
      }
      const answer = await ask("POST", "/v1/events", { customer_id: customer, type: asked.type.value, data });
      say(`Published as ${answer.id}.`);
    },
  );
}

async function deliveries(customer, path) {
  const found = await ask("GET", `${path}/deliveries?limit=${SHOWN}`);
  return [
    h("h2", {}, "Deliveries"),
    table(
      "The latest attempts, newest first",
      ["at", "event", "type", "attempt", "result", "seconds"],
      found.items.map((one) => [
        when(one.at),
        h("a", { href: `#/tenants/${encodeURIComponent(customer)}/events/${encodeURIComponent(one.event_id)}` }, one.event_id),
        one.event_type,
        `${one.attempt} of ${one.attempt_max}`,
        code(one.code),
        one.duration_s.toFixed(3),
      ]),
      "No attempt yet.",
    ),
  ];
}

async function letters(path) {
  const found = await ask("GET", `${path}/dead-letters?replayed=false&limit=${SHOWN}`);
  return [
    h("h2", {}, "Dead letters"),
    table(
      "Given up and not replayed, newest first",
      ["at", "event", "reason", "whose it is", "attempts"],
      found.items.map((one) => [
        when(one.failed_at),
        h("code", {}, one.event_id ?? ""),
        h("div", {}, h("span", { class: "bad" }, one.reason ?? ""), h("div", { class: "dim" }, one.error ?? "")),
        one.category,
        String(one.attempts ?? ""),
      ]),
      "None.",
    ),
  ];
}

function replaying(path, box, refresh) {
  const count = async () => {
    const plan = await ask("POST", `${path}/dead-letters/replay`, { dry_run: true });
    const total = plan.replayed + plan.remaining;
    const stay = plan.not_replayable ? ` ${plan.not_replayable} are no events, and stay.` : "";
    const words = [h("p", {}, `Would be published again: ${total}.${stay}`)];
    if (total) {
      words.push(
        acting(`Publish ${total} again`, async () => {
          let done = 0;
          let answer;
          do {
            answer = await ask("POST", `${path}/dead-letters/replay`, {});
            done += answer.replayed;
          } while (answer.remaining && answer.replayed);
          say(`Published again: ${done}.`);
          box.replaceChildren();
          await refresh();
        }),
      );
    }
    box.replaceChildren(h("div", { class: "once" }, words));
    box.querySelector("button")?.focus();
  };
  return acting("Replay …", count, true);
}

export async function tenant(customer, again, live) {
  const path = tenantPath(customer);
  const found = await ask("GET", path);
  const attempts = h("section", { "aria-label": "Deliveries" }, await deliveries(customer, path));
  const given = h("div", {}, await letters(path));
  const refresh = async () => {
    attempts.replaceChildren(...(await deliveries(customer, path)));
    given.replaceChildren(...(await letters(path)));
  };
  live(refresh);
  const plan = h("div");
  return [
    h("h1", {}, customer, found.name ? h("span", { class: "dim" }, ` ${found.name}`) : null),
    found.enabled ? null : h("p", { class: "bad" }, "This tenant is disabled: its events become dead letters."),
    keys(path, found, again),
    endpoints(path, found, again),
    apiKeys(path, found, again),
    publishing(customer),
    attempts,
    h("section", { "aria-label": "Dead letters" }, given, h("div", { class: "row" }, replaying(path, plan, refresh)), plan),
  ].flat();
}

export async function event(customer, id) {
  const path = tenantPath(customer);
  const found = await everything(`${path}/deliveries?event_id=${encodeURIComponent(id)}`);
  return [
    h("p", {}, h("a", { href: `#/tenants/${encodeURIComponent(customer)}` }, `← ${customer}`)),
    h("h1", {}, id),
    h(
      "section",
      {},
      table(
        "Its attempts, newest first",
        ["at", "endpoint", "attempt", "result", "status", "seconds", "sealed to"],
        found.map((one) => [
          when(one.at),
          h("code", {}, one.endpoint_id),
          `${one.attempt} of ${one.attempt_max}`,
          code(one.code),
          String(one.status ?? ""),
          one.duration_s.toFixed(3),
          h("code", {}, one.kid),
        ]),
        "No attempt is known of this event.",
      ),
    ),
  ];
}
