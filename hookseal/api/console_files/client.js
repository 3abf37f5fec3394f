// API client. The key is kept in this tab only, and sent to the origin of the page only.

const KEY = "hookseal-key";
const ROOT = new URL("..", import.meta.url);

export class Refused extends Error {
  constructor(status, problem) {
    const where = problem.field ? ` (${problem.field})` : "";
    super(`${problem.detail ?? "The API returned no details."} [${problem.code ?? status}${where}]`);
    this.status = status;
    this.code = problem.code;
  }
}

export const key = () => sessionStorage.getItem(KEY);
export const keep = (value) => sessionStorage.setItem(KEY, value);
export const forget = () => sessionStorage.removeItem(KEY);

// `body` is a value, or a JSON text: numbers beyond 2^53 keep their digits in a text.
export async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${key()}` };
  if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path.slice(1), ROOT), {
      method,
      headers,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, { code: "unreachable", detail: "The API is unreachable. Retry." });
  }
  const text = await answer.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(answer.status, {});
  }
  if (!answer.ok) throw new Refused(answer.status, document ?? {});
  return document;
}

export const tenantPath = (customer) => `/v1/tenants/${encodeURIComponent(customer)}`;

export async function everything(path) {
  const found = [];
  let cursor = "";
  do {
    const page = await ask("GET", `${path}${path.includes("?") ? "&" : "?"}limit=500${cursor}`);
    found.push(...page.items);
    cursor = page.next_cursor ? `&cursor=${encodeURIComponent(page.next_cursor)}` : "";
  } while (cursor && found.length < 5000);
  return found;
}
