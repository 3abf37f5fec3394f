// One tenant: keys, endpoints, events, deliveries, dead letters.

import { ask, everything, tenantPath } from "./client.js";
import { acting, asking, eventLink, field, form, h, once, redraw, say, table, tenantLink, when } from "./dom.js";
import { endpoints } from "./endpoints.js";

const SHOWN = 50;

function code(text) {
  return h("span", { class: text === "accepted" ? "good" : "bad" }, text);
}

function removal(path, one, again) {
  const follows = one.state === "active"
    ? "It is the active key. Without it, this tenant's events are dead-lettered until you add a key. "
    : "Events in flight may still be encrypted to it. ";
  return asking("Remove", `Remove the public key ${one.kid}?`, `${follows}To undo it, add the key again.`, async () => {
    await ask("DELETE", `${path}/public-keys/${encodeURIComponent(one.kid)}`);
    await again("Public key removed.");
  });
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
        found.public_keys,
        (one) => [
          h("code", {}, one.kid),
          one.alg,
          h("span", { class: one.state === "active" ? "good" : "dim" }, one.state),
          removal(path, one, again),
        ],
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
      found.api_keys,
      (one) => [
        h("code", {}, one.id),
        one.scopes.join(", "),
        when(one.created_at),
        asking(
          "Revoke",
          `Revoke the API key ${one.id}?`,
          "Requests with this key fail at once. You cannot undo this.",
          async () => {
            await ask("DELETE", `${path}/api-keys/${encodeURIComponent(one.id)}`);
            await again("API key revoked.");
          },
        ),
      ],
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
          await again("API key created.");
        },
        "quiet",
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
      // Checked, but sent as typed: JSON.parse rounds numbers beyond 2^53.
      const data = asked.data.value;
      try {
        JSON.parse(data);
      } catch {
        say("The data is not valid JSON. Correct it.", "bad");
        return;
      }
      const answer = await ask(
        "POST",
        "/v1/events",
        `{"customer_id":${JSON.stringify(customer)},"type":${JSON.stringify(asked.type.value)},"data":${data}}`,
      );
      say(`Published as ${answer.id}.`);
    },
  );
}

async function deliveries(customer, path) {
  const found = await ask("GET", `${path}/deliveries?limit=${SHOWN}`);
  return [
    h("h2", {}, "Deliveries"),
    table(
      `Latest attempts (at most ${SHOWN}), newest first`,
      ["time", "event id", "event type", "attempt", "result", "latency (s)"],
      found.items,
      (one) => [
        when(one.at),
        eventLink(customer, one.event_id),
        one.event_type,
        `${one.attempt} of ${one.attempt_max}`,
        code(one.code),
        one.duration_s.toFixed(3),
      ],
      "No attempts yet.",
    ),
  ];
}

async function letters(customer, path) {
  const found = await ask("GET", `${path}/dead-letters?replayed=false&limit=${SHOWN}`);
  return [
    h("h2", {}, "Dead letters"),
    table(
      `Failed deliveries that were not replayed (at most ${SHOWN}), newest first`,
      ["failed at", "event id", "reason", "category", "attempts"],
      found.items,
      (one) => [
        when(one.failed_at),
        one.event_id ? eventLink(customer, one.event_id) : "",
        h("div", {}, h("span", { class: "bad" }, one.reason ?? ""), h("div", { class: "dim" }, one.error ?? "")),
        one.category,
        String(one.attempts ?? ""),
      ],
      "No dead letters.",
    ),
  ];
}

function replaying(path, box, refresh) {
  const count = async () => {
    const plan = await ask("POST", `${path}/dead-letters/replay`, { dry_run: true });
    const total = plan.replayed + plan.remaining;
    const stay = plan.not_replayable ? ` ${plan.not_replayable} are not valid events and cannot be replayed.` : "";
    const follows = total ? " Each is published again to the endpoint that failed. An endpoint that has it already gets a duplicate." : "";
    const words = [h("p", {}, `Dead letters to replay: ${total}.${stay}${follows}`)];
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
  return acting("Replay …", count, "quiet");
}

function administration(customer, path, found, again) {
  const enable = (enabled, told) => async () => {
    await ask("PATCH", path, { enabled });
    await again(told);
  };
  return h(
    "section",
    {},
    h("h2", {}, "Tenant"),
    h(
      "div",
      { class: "row" },
      found.enabled
        ? asking(
          "Disable the tenant",
          `Disable the tenant ${customer}?`,
          "Its events become dead letters until you enable it. They are delivered only if you replay them.",
          enable(false, "Tenant disabled."),
        )
        : acting("Enable the tenant", enable(true, "Tenant enabled."), "quiet"),
      asking(
        "Delete the tenant",
        `Delete the tenant ${customer}?`,
        `You cannot undo this. Its API keys, public keys (${found.public_keys.length}) and endpoints (${found.endpoints.length}) are deleted, and its undelivered events become dead letters.`,
        async () => {
          await ask("DELETE", path);
          location.hash = "#/tenants";
        },
      ),
    ),
  );
}

export async function tenant(customer, again, live, isAdmin) {
  const path = tenantPath(customer);
  const found = await ask("GET", path);
  const attempts = h("section", { "aria-label": "Deliveries" }, await deliveries(customer, path));
  const given = h("div", {}, await letters(customer, path));
  const refresh = async () => {
    redraw(attempts, ...(await deliveries(customer, path)));
    redraw(given, ...(await letters(customer, path)));
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
    isAdmin ? administration(customer, path, found, again) : null,
  ].flat();
}

export async function event(customer, id) {
  const path = tenantPath(customer);
  const found = await everything(`${path}/deliveries?event_id=${encodeURIComponent(id)}`);
  return [
    h("p", {}, tenantLink(customer, "← ")),
    h("h1", {}, id),
    h(
      "section",
      {},
      table(
        "Attempts, newest first",
        ["time", "endpoint", "attempt", "result", "HTTP status", "latency (s)", "encrypted to key"],
        found,
        (one) => [
          when(one.at),
          h("code", {}, one.endpoint_id),
          `${one.attempt} of ${one.attempt_max}`,
          code(one.code),
          String(one.status ?? ""),
          one.duration_s.toFixed(3),
          h("code", {}, one.kid),
        ],
        "The delivery log has no attempt of this event.",
      ),
    ),
  ];
}
