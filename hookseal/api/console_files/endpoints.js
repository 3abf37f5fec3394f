// The endpoints of a tenant.

import { ask } from "./client.js";
import { acting, asking, field, form, h, once, table, when } from "./dom.js";

function state(endpoint) {
  const kinds = { active: "good", suspended: "wait", paused: "wait", disabled: "bad" };
  const since = endpoint.suspended_since ? ` since ${when(endpoint.suspended_since)}` : "";
  const why = endpoint.disabled_reason ? `, ${endpoint.disabled_reason}` : "";
  return h("span", { class: kinds[endpoint.state] }, `${endpoint.state}${since}${why}`);
}

function showSecret(secret, name, value) {
  secret.replaceChildren(
    h("div", { class: "once" }, h("p", {}, `The ${name} of the endpoint. It is shown only once:`), h("code", { id: "signing-secret" }, value)),
  );
}

function actions(one, path, again, secret) {
  const own = `${path}/endpoints/${encodeURIComponent(one.id)}`;
  const post = (verb, told) => async () => {
    await ask("POST", `${own}/${verb}`, {});
    await again(told);
  };
  const enable = (enabled, told) => async () => {
    await ask("PATCH", own, { enabled });
    await again(told);
  };
  return h(
    "div",
    { class: "row" },
    acting("Send a test event", post("test", "Test event published.")),
    one.state === "suspended" ? acting("Probe now", post("resume", "The endpoint is probed now."), "quiet") : null,
    one.state === "paused"
      ? acting("Resume", post("resume", "The endpoint is resumed."), "quiet")
      : acting("Pause", post("pause", "The endpoint is paused."), "quiet"),
    asking(
      "Rotate secret",
      `Rotate the signing secret of ${one.url}?`,
      "Requests are signed with the new and the previous secret for 24 hours, then with the new one only. Give the new secret to the receiver before.",
      async () => {
        const answer = await ask("POST", `${own}/rotate-secret`, {});
        showSecret(secret, "new signing secret", answer.signing_secret);
        await again("Signing secret rotated.");
      },
    ),
    one.enabled
      ? asking(
        "Disable",
        `Disable the endpoint ${one.url}?`,
        "Its events become dead letters until you enable it. They are delivered only if you replay them.",
        enable(false, "Endpoint disabled."),
      )
      : acting("Enable", enable(true, "Endpoint enabled."), "quiet"),
    asking(
      "Remove",
      `Remove the endpoint ${one.url}?`,
      "You cannot undo this. Its undelivered events are dead-lettered, and its signing secret is gone.",
      async () => {
        await ask("DELETE", own);
        await again("Endpoint removed.");
      },
    ),
  );
}

export function endpoints(path, found, again) {
  const secret = once("signing-secret");
  return h(
    "section",
    {},
    h("h2", {}, "Endpoints"),
    table(
      "Events are delivered to these URLs",
      ["URL", "event types", "state", ""],
      found.endpoints,
      (one) => [
        [h("code", {}, one.url), h("div", { class: "dim id" }, one.id)],
        one.event_types.join(", "),
        state(one),
        actions(one, path, again, secret),
      ],
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
          showSecret(secret, "signing secret", answer.signing_secret);
          await again("Endpoint added.");
        },
      ),
    ),
  );
}
