// Opens sealed requests the way a tenant would, with libraries as they come from npm.
//
// stdin:  [{"private_key": PEM, "kind": "RSA" | "EC" | "OKP", "signing_secret": "whsec_…",
//           "headers": {…}, "body": "…", "now"?: unix seconds}, …]
// stdout: [{"jose": OPENED, "node-jose": OPENED}, …], OPENED = {"header", "plaintext"} or {"error"}

import { text } from "node:stream/consumers";
import { flattenedDecrypt, importPKCS8 } from "jose";
import nodeJose from "node-jose";
import { Webhook } from "standardwebhooks";

const ALGORITHMS = { RSA: "RSA-OAEP-256", EC: "ECDH-ES", OKP: "ECDH-ES" };

const openers = {
  async jose(jwe, { private_key, kind }) {
    const alg = ALGORITHMS[kind];
    const key = await importPKCS8(private_key, alg);
    const { plaintext, protectedHeader } = await flattenedDecrypt(jwe, key, {
      keyManagementAlgorithms: [alg],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    return { header: protectedHeader, plaintext };
  },

  async "node-jose"(jwe, { private_key, kind }) {
    if (kind === "OKP") return { error: "unsupported" };
    const key = await nodeJose.JWK.asKey(private_key, "pem");
    const { header, payload } = await nodeJose.JWE.createDecrypt(key, {
      algorithms: [ALGORITHMS[kind], "A256GCM"],
    }).decrypt(jwe);
    return { header, plaintext: payload };
  },
};

function verify({ signing_secret, headers, body, now }) {
  // A frozen request is older than the five minutes that the library allows, so it is
  // this process whose clock is set back.
  const clock = Date.now;
  if (now !== undefined) Date.now = () => now * 1000;
  try {
    return new Webhook(signing_secret).verify(body, headers);
  } finally {
    Date.now = clock;
  }
}

async function open(request, opener) {
  try {
    const { plaintext, ...opened } = await opener(verify(request), request);
    if (plaintext === undefined) return opened;
    return { ...opened, plaintext: new TextDecoder("utf-8", { fatal: true }).decode(plaintext) };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

const answers = [];
for (const request of JSON.parse(await text(process.stdin))) {
  const opened = {};
  for (const [library, opener] of Object.entries(openers)) {
    opened[library] = await open(request, opener);
  }
  answers.push(opened);
}
process.stdout.write(JSON.stringify(answers));
