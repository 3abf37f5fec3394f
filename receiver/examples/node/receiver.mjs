// Receives sealed webhooks at /hooks. Libraries of npm, and nothing of the sender.
//
//   npm ci
//   SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem node receiver.mjs
//
// Of both there may be several, with a space between, while they rotate.

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

// Your work. What is thrown here makes the sender try again.
async function handle(event) {
  console.log(event.id, event.type, JSON.stringify(event.data));
}

const server = createServer((request, response) => {
  answer(request)
    // Whoever sends has gone away in the middle.
    .catch(() => [400])
    .then(([status, headers]) => response.writeHead(status, headers).end());
});

async function answer(request) {
  if (request.method !== "POST" || request.url !== "/hooks") return [404];
  // The sender always tells the length.
  if (!(Number(request.headers["content-length"]) <= MAX_BODY_BYTES)) return [413];
  const body = await text(request);
  let event;
  try {
    event = await open(request.headers, body);
  } catch (error) {
    // For the log of this side; the answer does not say which check failed.
    console.error(`refused: ${error.message}`);
    return [400];
  }
  return await once(event);
}

async function once(event) {
  const delivery = `${event.endpoint_id} ${event.id}`;
  const standing = repeats.claim(delivery);
  if (standing === "seen") return [204];
  // Whoever has it in hand may still fail: have it sent again.
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
