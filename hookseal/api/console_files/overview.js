// First page of the operator: the state of the deployment, and the attempts of the last minute.

import { ask, Refused } from "./client.js";
import { eventLink, h, svg, table, tenantLink, when } from "./dom.js";
import { details, problems, totals } from "./status.js";

const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
const milliseconds = (seconds) => (seconds === null ? "–" : `${(seconds * 1000).toFixed(1)} ms`);
const clock = (text) => new Date(text).toLocaleTimeString();
const figure = (name, value) => h("div", {}, h("span", { class: "dim" }, name), h("strong", {}, value));

// The next of 2, 4, 10, 20, 40, 100, …: its half is a whole number, too.
function ceiling(most) {
  for (let power = 1; ; power *= 10) {
    for (const step of [2, 4, 10]) if (step * power >= most) return step * power;
  }
}

function chart(seconds) {
  const top = ceiling(Math.max(...seconds.map((one) => one.accepted + one.failed)));
  const bars = seconds.flatMap((one, at) => {
    const good = (one.accepted / top) * 100;
    const bad = (one.failed / top) * 100;
    return [
      svg("rect", { class: "accepted", x: at, y: 100 - good, width: 0.8, height: good }),
      svg("rect", { class: "failed", x: at, y: 100 - good - bad, width: 0.8, height: bad }),
    ];
  });
  const label = `${sum(seconds.map((one) => one.accepted))} accepted and ` +
    `${sum(seconds.map((one) => one.failed))} failed attempts in the last minute`;
  const grid = [0, 50, 100].map((y) => svg("line", { x1: 0, x2: seconds.length, y1: y, y2: y }));
  const times = [0, Math.floor(seconds.length / 2), seconds.length - 1].map((at) => h("span", {}, clock(seconds[at].at)));
  return h(
    "figure",
    { class: "plot" },
    h(
      "figcaption",
      {},
      "Attempts per second: ",
      h("span", { class: "key accepted" }, "accepted"),
      " ",
      h("span", { class: "key failed" }, "failed"),
    ),
    h("div", { class: "y-axis", "aria-hidden": "true" }, [top, top / 2, 0].map((one) => h("span", {}, one.toLocaleString()))),
    svg(
      "svg",
      { class: "chart", viewBox: `0 0 ${seconds.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      grid,
      bars,
    ),
    h("div", { class: "x-axis", "aria-hidden": "true" }, times),
  );
}

function backoff(one) {
  return h(
    "div",
    { class: "wait" },
    tenantLink(one.customer_id),
    ", ",
    eventLink(one.customer_id, one.event_id),
    `: attempt ${one.attempt} of ${one.attempt_max}, ${one.code}, ${when(one.at)}`,
  );
}

function idle(status) {
  if (status && status.workers.length === 0) return "No worker runs, so no attempt is made.";
  if (status && status.lag > 0) return "No attempts in the last minute, although events wait.";
  return "No attempts in the last minute.";
}

function throughput(found) {
  // The last second has not ended yet.
  const lately = found.seconds.slice(-11, -1);
  const accepted = sum(lately.map((one) => one.accepted)) / lately.length;
  const failed = sum(lately.map((one) => one.failed)) / lately.length;
  return [
    h(
      "div",
      { class: "figures" },
      figure("accepted deliveries/s", accepted.toFixed(1)),
      figure("failed attempts/s", failed.toFixed(1)),
      figure("p50 attempt latency", milliseconds(found.attempt_p50_s)),
      figure("p99 attempt latency", milliseconds(found.attempt_p99_s)),
    ),
    chart(found.seconds),
  ];
}

const attempts = (found, status) =>
  h(
    "section",
    {},
    h("h2", {}, "Attempts by partition"),
    table(
      "Partitions with attempts in the last minute",
      ["partition", "attempts", "accepted", "retries in backoff"],
      found.partitions,
      (one) => [
        String(one.partition),
        one.attempts.toLocaleString(),
        one.accepted.toLocaleString(),
        one.held.length ? one.held.map(backoff) : h("span", { class: "good" }, "none"),
      ],
      idle(status),
    ),
  );

// One part that cannot be read does not hide the other.
async function read(path) {
  try {
    return [await ask("GET", path), null];
  } catch (error) {
    if (!(error instanceof Refused) || [0, 401, 403].includes(error.status)) throw error;
    return [null, h("p", { class: "bad" }, error.message)];
  }
}

export async function overview() {
  const [[status, unknown], [minute, unread]] = await Promise.all([read("/v1/status"), read("/v1/overview")]);
  return [
    h("h1", {}, "Overview"),
    h("section", { "aria-label": "Status" }, status ? [problems(status), totals(status)] : unknown),
    h("section", { "aria-label": "Throughput" }, minute ? throughput(minute) : unread),
    ...(status ? details(status) : []),
    minute ? attempts(minute, status) : null,
  ];
}
