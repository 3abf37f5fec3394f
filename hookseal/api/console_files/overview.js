// Start page of the operator: attempts and latency of the last minute, deliveries in backoff.

import { ask } from "./client.js";
import { h, svg, table, when } from "./dom.js";

const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
const milliseconds = (seconds) => (seconds === null ? "–" : `${(seconds * 1000).toFixed(1)} ms`);

function chart(seconds) {
  const most = Math.max(1, ...seconds.map((one) => one.accepted + one.failed));
  const bars = seconds.flatMap((one, at) => {
    const good = (one.accepted / most) * 100;
    const bad = (one.failed / most) * 100;
    return [
      svg("rect", { class: "accepted", x: at, y: 100 - good, width: 0.8, height: good }),
      svg("rect", { class: "failed", x: at, y: 100 - good - bad, width: 0.8, height: bad }),
    ];
  });
  const label = `${sum(seconds.map((one) => one.accepted))} accepted and ` +
    `${sum(seconds.map((one) => one.failed))} failed attempts in the last minute`;
  return svg(
    "svg",
    {
      class: "chart",
      viewBox: `0 0 ${seconds.length} 100`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    bars,
  );
}

function backoff(one) {
  const link = h(
    "a",
    { href: `#/tenants/${encodeURIComponent(one.customer_id)}/events/${encodeURIComponent(one.event_id)}` },
    `${one.customer_id}, ${one.event_id}`,
  );
  return h("div", { class: "wait" }, link, `: attempt ${one.attempt} of ${one.attempt_max}, ${one.code}, ${when(one.at)}`);
}

export async function overview() {
  const found = await ask("GET", "/v1/overview");
  // The last second has not ended yet.
  const lately = found.seconds.slice(-11, -1);
  const accepted = sum(lately.map((one) => one.accepted)) / lately.length;
  const failed = sum(lately.map((one) => one.failed)) / lately.length;
  const figure = (name, value) => h("div", {}, h("span", { class: "dim" }, name), h("strong", {}, value));
  return [
    h("h1", {}, "Overview"),
    h(
      "section",
      { "aria-label": "Throughput" },
      h(
        "div",
        { class: "figures" },
        figure("accepted deliveries/s", accepted.toFixed(1)),
        figure("failed attempts/s", failed.toFixed(1)),
        figure("p50 attempt latency", milliseconds(found.attempt_p50_s)),
        figure("p99 attempt latency", milliseconds(found.attempt_p99_s)),
      ),
      chart(found.seconds),
      h("p", { class: "dim" }, "Attempts per second in the last minute: accepted below, failed above."),
    ),
    h(
      "section",
      {},
      h("h2", {}, "Partitions"),
      table(
        "Partitions with attempts in the last minute",
        ["partition", "attempts", "accepted", "retries in backoff"],
        found.partitions.map((one) => [
          String(one.partition),
          String(one.attempts),
          String(one.accepted),
          one.held.length ? h("div", {}, one.held.map(backoff)) : h("span", { class: "good" }, "none"),
        ]),
        "No attempts in the last minute.",
      ),
    ),
  ];
}
