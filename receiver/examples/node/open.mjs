// Verify, then open, then compare: all that a request has to stand.

import { createPrivateKey, createPublicKey } from "node:crypto";
import { calculateJwkThumbprint, flattenedDecrypt } from "jose";
import { Webhook } from "standardwebhooks";

const ALGORITHMS = { rsa: "RSA-OAEP-256", ec: "ECDH-ES", x25519: "ECDH-ES" };
const MEMBERS = ["protected", "encrypted_key", "iv", "ciphertext", "tag"];
// No `zip`, `crit` or `apu`: what a sender may choose is decided here.
const PARAMETERS = ["alg", "enc", "kid", "cty", "epk"];

/**
 * Returns a function that opens requests.
 *
 * secrets: signing secrets, "whsec_…"; keys: private keys, PEM. Several while they rotate.
 * endpointId: refuse what was sent to another endpoint.
 */
export async function opener({ secrets, keys, endpointId }) {
  const webhooks = secrets.map((secret) => new Webhook(secret));
  const known = new Map(await Promise.all(keys.map(named)));

  function keyOf(header) {
    const found = known.get(header.kid);
    if (found === undefined) throw new Error("sealed to a key that is not here");
    if (header.alg !== found.alg || Object.keys(header).some((name) => !PARAMETERS.includes(name)))
      throw new Error("sealed in another way than is agreed");
    return found.key;
  }

  // headers in lower case; body as it came, as text
  return async function open(headers, body) {
    const sealed = verified(webhooks, headers, body);
    if (Object.keys(sealed).some((name) => !MEMBERS.includes(name)))
      throw new Error("sealed in another way than is agreed");
    const { plaintext } = await flattenedDecrypt(sealed, keyOf, {
      keyManagementAlgorithms: Object.values(ALGORITHMS),
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    const event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plaintext));
    // The signature covers the header's id, the seal the event's: only together do they
    // say that this body belongs to this id, and to this endpoint.
    if (event.id !== headers["webhook-id"]) throw new Error("another event than was announced");
    if (endpointId !== undefined && event.endpoint_id !== endpointId)
      throw new Error("an event for another endpoint");
    return event;
  };
}

function verified(webhooks, headers, body) {
  for (const webhook of webhooks) {
    try {
      return webhook.verify(body, headers);
    } catch {
      continue;
    }
  }
  throw new Error("no signing secret fits, or the request is old");
}

// The sender names a key by the thumbprint of its public half (RFC 7638).
async function named(pem) {
  const key = createPrivateKey(pem);
  const alg = ALGORITHMS[key.asymmetricKeyType];
  if (alg === undefined) throw new Error(`nothing is sealed to ${key.asymmetricKeyType} keys`);
  const kid = await calculateJwkThumbprint(createPublicKey(key).export({ format: "jwk" }));
  return [kid, { key, alg }];
}
