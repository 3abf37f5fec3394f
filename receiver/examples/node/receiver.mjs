// Receives sealed webhooks at /hooks, with libraries from npm only.
//
//   npm ci
//   SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem node receiver.mjs
//
// During a rotation, separate several values with a space.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { opener } from "./open.mjs";
import { Repeats } from "./repeats.mjs";

const MAX_BODY_BYTES = 64 * 1024;

const open = await opener({
  secrets: process.env.SIGNING_SECRETS.split(" "),
  keys: await Promise.all(process.env.PRIVATE_KEYS.split(" ").map((name) => readFile(name))),
  endpointId: process.env.ENDPOINT_ID,
});
const repeats = new Repeats();

// Do your work. If this throws, the sender retries.
async function handle(event) {
  console.log(event.id, event.type, JSON.stringify(event.data));
}

const server = createServer((request, response) => {
  answer(request)
    // The sender closed the connection.
    .catch(() => [400])
    .then(([status, headers]) => response.writeHead(status, headers).end());
});

async function answer(request) {
  if (request.method !== "POST" || request.url !== "/hooks") return [404];
  // The sender always sends the length.
  if (!(Number(request.headers["content-length"]) <= MAX_BODY_BYTES)) return [413];
  const body = await text(request);
  let event;
  try {
    event = await open(request.headers, body);
  } catch (error) {
    // For the log only: the answer does not reveal which check failed.
    console.error(`refused: ${error.message}`);
    return [400];
  }
  return await once(event);
}

async function once(event) {
  const delivery = `${event.endpoint_id} ${event.id}`;
  const standing = repeats.claim(delivery);
  if (standing === "seen") return [204];
  // The request that handles it may still fail: ask the sender to retry.
  if (standing === "running") return [503, { "retry-after": "1" }];
  try {
    await handle(event);
  } catch (error) {
    repeats.release(delivery);
    console.error("the handler failed", error);
    return [500];
  }
  repeats.finish(delivery);
  return [204];
}

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
