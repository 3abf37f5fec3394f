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
  const kinds = { active: "good", suspended: "wait", paused: "wait", disabled: "bad" };
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
        "Events are encrypted to the active key",
        ["key id", "algorithm", "state", ""],
        found.public_keys.map((one) => [
          h("code", {}, one.kid),
          one.alg,
          h("span", { class: one.state === "active" ? "good" : "dim" }, one.state),
          acting(
            "Remove",
            async () => {
              await ask("DELETE", `${path}/public-keys/${encodeURIComponent(one.kid)}`);
              await again("Public key removed.");
            },
            true,
          ),
        ]),
        "No public key. Events are dead-lettered until you add one.",
      ),
      h(
        "details",
        { open: found.public_keys.length === 0 },
        h("summary", {}, "Add a public key"),
        form(
          "Add a public key",
          [
            field("Key", h("textarea", { name: "pem", spellcheck: "false", class: "code" }), "PEM or JWK: RSA with 2048 to 4096 bits, P-256 or X25519"),
            field("or a file", h("input", { name: "file", type: "file" })),
          ],
          "Add the key",
          async (asked) => {
            const file = asked.file.files[0];
            const text = file ? await file.text() : asked.pem.value;
            await ask("POST", `${path}/public-keys`, { public_key: text });
            await again("The key is active. Events are encrypted to it from now on.");
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
      "At most two, so that you can rotate them",
      ["id", "scopes", "created", ""],
      found.api_keys.map((one) => [
        h("code", {}, one.id),
        one.scopes.join(", "),
        when(one.created_at),
        acting(
          "Revoke",
          async () => {
            await ask("DELETE", `${path}/api-keys/${encodeURIComponent(one.id)}`);
            await again("API key revoked.");
          },
          true,
        ),
      ]),
      "No API key.",
    ),
    made,
    h(
      "div",
      { class: "row" },
      acting(
        "Create an API key",
        async () => {
          const answer = await ask("POST", `${path}/api-keys`, {});
          made.replaceChildren(
            h("div", { class: "once" }, h("p", {}, "The new API key. It is shown only once:"), h("code", { id: "api-key" }, answer.api_key)),
          );
          say("API key created.");
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
      "Events are delivered to these URLs",
      ["URL", "event types", "state", ""],
      found.endpoints.map((one) => [
        h("div", {}, h("code", {}, one.url), h("div", { class: "dim code" }, one.id)),
        one.event_types.join(", "),
        state(one),
        h(
          "div",
          { class: "row" },
          acting("Send a test event", post(one, "test", "Test event published.")),
          one.state === "suspended"
            ? acting("Probe now", post(one, "resume", "The endpoint is probed now."), true)
            : null,
          one.state === "paused"
            ? acting("Resume", post(one, "resume", "The endpoint is resumed."), true)
            : acting("Pause", post(one, "pause", "The endpoint is paused."), true),
          one.enabled
            ? acting("Disable", change(one, { enabled: false }, "Endpoint disabled."), true)
            : acting("Enable", change(one, { enabled: true }, "Endpoint enabled."), true),
        ),
      ]),
      "No endpoint. No event is delivered until you add one.",
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
            h("div", { class: "once" }, h("p", {}, "The signing secret of the endpoint. It is shown only once:"), h("code", { id: "signing-secret" }, answer.signing_secret)),
          );
          await again("Endpoint added.");
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
        say("The data is not valid JSON. Correct it.", "bad");
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
      "Latest attempts, newest first",
      ["time", "event id", "event type", "attempt", "result", "latency (s)"],
      found.items.map((one) => [
        when(one.at),
        h("a", { href: `#/tenants/${encodeURIComponent(customer)}/events/${encodeURIComponent(one.event_id)}` }, one.event_id),
        one.event_type,
        `${one.attempt} of ${one.attempt_max}`,
        code(one.code),
        one.duration_s.toFixed(3),
      ]),
      "No attempts yet.",
    ),
  ];
}

async function letters(path) {
  const found = await ask("GET", `${path}/dead-letters?replayed=false&limit=${SHOWN}`);
  return [
    h("h2", {}, "Dead letters"),
    table(
      "Failed deliveries that were not replayed, newest first",
      ["failed at", "event id", "reason", "category", "attempts"],
      found.items.map((one) => [
        when(one.failed_at),
        h("code", {}, one.event_id ?? ""),
        h("div", {}, h("span", { class: "bad" }, one.reason ?? ""), h("div", { class: "dim" }, one.error ?? "")),
        one.category,
        String(one.attempts ?? ""),
      ]),
      "No dead letters.",
    ),
  ];
}

function replaying(path, box, refresh) {
  const count = async () => {
    const plan = await ask("POST", `${path}/dead-letters/replay`, { dry_run: true });
    const total = plan.replayed + plan.remaining;
    const stay = plan.not_replayable ? ` ${plan.not_replayable} are not valid events and cannot be replayed.` : "";
    const words = [h("p", {}, `Dead letters to replay: ${total}.${stay}`)];
    if (total) {
      words.push(
        acting(`Replay ${total}`, async () => {
          let done = 0;
          let answer;
          do {
            answer = await ask("POST", `${path}/dead-letters/replay`, {});
            done += answer.replayed;
          } while (answer.remaining && answer.replayed);
          say(`Replayed: ${done}.`);
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
    found.enabled ? null : h("p", { class: "bad" }, "This tenant is disabled. Its events are dead-lettered."),
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
        "Attempts, newest first",
        ["time", "endpoint", "attempt", "result", "HTTP status", "latency (s)", "encrypted to key"],
        found.map((one) => [
          when(one.at),
          h("code", {}, one.endpoint_id),
          `${one.attempt} of ${one.attempt_max}`,
          code(one.code),
          String(one.status ?? ""),
          one.duration_s.toFixed(3),
          h("code", {}, one.kid),
        ]),
        "The delivery log has no attempt of this event.",
      ),
    ),
  ];
}
