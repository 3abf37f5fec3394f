// All checks of a request: verify, decrypt, compare.

import { createPrivateKey, createPublicKey } from "node:crypto";
import { calculateJwkThumbprint, flattenedDecrypt } from "jose";
import { Webhook } from "standardwebhooks";

const ALGORITHMS = { rsa: "RSA-OAEP-256", ec: "ECDH-ES", x25519: "ECDH-ES" };
const MEMBERS = ["protected", "encrypted_key", "iv", "ciphertext", "tag"];
// No `zip`, `crit` or `apu`: the sender has no choice.
const PARAMETERS = ["alg", "enc", "kid", "cty", "epk"];

/**
 * Returns a function that verifies and decrypts requests.
 *
 * secrets: signing secrets, "whsec_…"; keys: private keys, PEM. Several during a rotation.
 * endpointId: refuse requests to other endpoints.
 */
export async function opener({ secrets, keys, endpointId }) {
  const webhooks = secrets.map((secret) => new Webhook(secret));
  const known = new Map(await Promise.all(keys.map(named)));

  function keyOf(header) {
    const found = known.get(header.kid);
    if (found === undefined) throw new Error("unknown key id");
    if (header.alg !== found.alg || Object.keys(header).some((name) => !PARAMETERS.includes(name)))
      throw new Error("algorithm or JWE member not allowed");
    return found.key;
  }

  // Header names in lower case; the body as text, unparsed.
  return async function open(headers, body) {
    const sealed = verified(webhooks, headers, body);
    if (Object.keys(sealed).some((name) => !MEMBERS.includes(name)))
      throw new Error("algorithm or JWE member not allowed");
    const { plaintext } = await flattenedDecrypt(sealed, keyOf, {
      keyManagementAlgorithms: Object.values(ALGORITHMS),
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    const event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plaintext));
    // The signature covers the id in the header, the encryption that in the event. Only both
    // together prove that this body belongs to this id and to this endpoint.
    if (event.id !== headers["webhook-id"]) throw new Error("the event id differs from the header");
    if (endpointId !== undefined && event.endpoint_id !== endpointId)
      throw new Error("the event is for another endpoint");
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
  throw new Error("invalid signature, or the request is too old");
}

// The sender names a key by the thumbprint of its public half (RFC 7638).
async function named(pem) {
  const key = createPrivateKey(pem);
  const alg = ALGORITHMS[key.asymmetricKeyType];
  if (alg === undefined) throw new Error(`unsupported key type: ${key.asymmetricKeyType}`);
  const kid = await calculateJwkThumbprint(createPublicKey(key).export({ format: "jwk" }));
  return [kid, { key, alg }];
}
