// The state of the deployment: workers, partitions, stopped endpoints, dead letters.

import { eventLink, h, table, tenantLink, when } from "./dom.js";

const STATES = {
  idle: ["good", "idle"],
  delivering: ["good", "delivering"],
  backoff: ["wait", "retry in backoff"],
  not_attempted: ["wait", "no attempt for 30 s"],
  open_transaction: ["wait", "a producer's transaction is open"],
  rebalancing: ["wait", "rebalancing"],
  no_worker: ["bad", "no worker"],
};
const BECAUSE = {
  exhausted: "too many deliveries in a row failed",
  behind: "too many events were queued",
  paused: "paused by hand",
};
const CATEGORIES = { receiver: "the receiver", configuration: "the configuration", event: "the event", platform: "hookseal or Kafka" };

const count = (number) => (number === null ? "unknown" : number.toLocaleString());
const figure = (name, value) => h("div", {}, h("span", { class: "dim" }, name), h("strong", {}, value));

function age(since, now) {
  if (since === null) return "";
  const seconds = Math.max(0, Math.round((new Date(now) - new Date(since)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function waitsFor(one) {
  const held = one.held_by;
  if (held !== null) {
    return [
      tenantLink(held.customer_id),
      `, ${held.code}, attempt ${held.attempt} of ${held.attempt_max}, event `,
      eventLink(held.customer_id, held.event_id),
    ];
  }
  if (one.oldest === null || one.state === "idle") return "";
  const { customer_id: customer, event_id: id } = one.oldest;
  return customer === null ? `broadcast ${id}` : [tenantLink(customer), ", event ", eventLink(customer, id)];
}

function partitions(found) {
  const hosts = new Map(found.workers.map((one) => [one.id, one.host]));
  return h(
    "section",
    {},
    h("h2", {}, "Partitions"),
    table(
      "Partitions of the topic events",
      ["partition", "worker", "state", "lag (events)", "oldest waits", "waits for"],
      found.partitions,
      (one) => {
        const [kind, name] = STATES[one.state] ?? ["", one.state];
        return [
          String(one.partition),
          one.worker === null ? "none" : (hosts.get(one.worker) ?? one.worker),
          h("span", { class: kind }, name),
          count(one.lag),
          age(one.since, found.at),
          waitsFor(one),
        ];
      },
      "The partitions cannot be read.",
    ),
  );
}

function workers(found) {
  const group = found.group === null ? "" : `Consumer group ${found.group.id}: ${found.group.state}`;
  return h(
    "section",
    {},
    h("h2", {}, "Workers"),
    table(
      group || "Workers with their partitions",
      ["worker", "host", "partitions"],
      found.workers,
      (one) => [h("span", { class: "id" }, one.id), one.host, one.partitions.join(", ") || "none"],
      "No worker runs.",
    ),
  );
}

function endpoints(found) {
  const hidden = (found.endpoint_count ?? 0) - found.endpoints.length;
  return h(
    "section",
    {},
    h("h2", {}, "Suspended and paused endpoints"),
    table(
      "Their events are deferred, and delivered in order later",
      ["customer id", "endpoint", "state", "reason", "since", "deferred events"],
      found.endpoints,
      (one) => [
        tenantLink(one.customer_id),
        h("span", { class: "id" }, one.endpoint_id),
        h("span", { class: "wait" }, one.state),
        BECAUSE[one.because] ?? one.because,
        when(one.since),
        count(one.deferred),
      ],
      found.endpoint_count === null ? "The endpoints cannot be read." : "None.",
    ),
    hidden > 0 ? h("p", { class: "dim" }, `${count(hidden)} more are not listed.`) : null,
  );
}

function letters(found) {
  const totals = found.dead_letters;
  return h(
    "section",
    {},
    h("h2", {}, "Dead letters in the last hour, by cause"),
    totals === null
      ? h("p", { class: "dim" }, "The dead letters cannot be read.")
      : h("div", { class: "figures" }, Object.entries(totals).map(([name, number]) => figure(CATEGORIES[name] ?? name, count(number)))),
  );
}

export function problems(found) {
  if (found.problems.length === 0) return h("p", { class: "good" }, "Nothing needs attention.");
  return h(
    "ul",
    { class: "problems", "aria-label": "Problems" },
    found.problems.map((one) => h("li", { class: "bad" }, one.detail, h("code", {}, ` [${one.code}]`))),
  );
}

export const totals = (found) =>
  h(
    "div",
    { class: "figures" },
    figure("workers", count(found.workers.length)),
    figure("lag (events)", count(found.lag)),
    figure("suspended and paused endpoints", count(found.endpoint_count)),
  );

export const details = (found) => [partitions(found), endpoints(found), letters(found), workers(found)];
