// What a team writes for itself: kafkajs, one event after the other in each partition, a POST
// with exponential backoff, and a dead-letter topic. Nothing is sealed, signed or logged, and
// no address is judged. A program for `node`, started by `benchmarks.reference_run`.
//
// It writes one line of JSON once it has delivered all: events per second and microseconds of
// CPU for each, both between a tenth and nine tenths of them.

import { Kafka, logLevel } from "kafkajs";

const {
  BROKERS: brokers,
  TOPIC: topic,
  DEAD_LETTERS: deadLetters,
  GROUP: group,
  SINK: sink,
  PARTITIONS: partitions,
  EVENTS: events,
} = process.env;

const ATTEMPTS_MAX = 10;
const FIRST_DELAY_MS = 1000;
const ATTEMPT_TIMEOUT_MS = 15_000;
const MS_PER_S = 1000;

const total = Number(events);
const marks = new Set([Math.floor(total * 0.1), Math.floor(total * 0.9)]);
const samples = [];
let done = 0;

const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: group });
const producer = kafka.producer();

async function attempt(message) {
  try {
    const response = await fetch(`${sink}${message.key}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: message.value,
      signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

async function deliver({ message, heartbeat }) {
  for (let failed = 0; !(await attempt(message)); ) {
    failed += 1;
    if (failed === ATTEMPTS_MAX) {
      await producer.send({ topic: deadLetters, messages: [message] });
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, FIRST_DELAY_MS * 2 ** (failed - 1)));
    await heartbeat();
  }
  count();
}

function count() {
  done += 1;
  if (marks.has(done)) {
    samples.push({ at: performance.now(), cpu: process.cpuUsage(), done });
  }
  if (done === total) {
    finish();
  }
}

async function finish() {
  await consumer.disconnect();
  await producer.disconnect();
  const [first, last] = samples;
  const counted = last.done - first.done;
  const used = (sample) => sample.cpu.user + sample.cpu.system;
  console.log(
    JSON.stringify({
      per_s: counted / ((last.at - first.at) / MS_PER_S),
      cpu_us: (used(last) - used(first)) / counted,
    }),
  );
}

await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({ partitionsConsumedConcurrently: Number(partitions), eachMessage: deliver });
