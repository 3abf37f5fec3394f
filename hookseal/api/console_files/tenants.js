// Lists tenants and creates one.

import { ask, everything } from "./client.js";
import { field, form, h, say, table, tenantLink } from "./dom.js";

export async function tenants() {
  const found = await everything("/v1/tenants");
  const made = h("div");
  return [
    h("h1", {}, "Tenants"),
    h(
      "section",
      {},
      table(
        `${found.length.toLocaleString()} tenants`,
        ["customer id", "name", "state"],
        found,
        (one) => [
          tenantLink(one.customer_id),
          one.name,
          one.enabled ? h("span", { class: "good" }, "enabled") : h("span", { class: "bad" }, "disabled"),
        ],
        "No tenants yet.",
      ),
    ),
    made,
    form(
      "New tenant",
      h(
        "div",
        { class: "row" },
        field("Customer id", h("input", { name: "customer", required: true, autocomplete: "off" })),
        field("Name", h("input", { name: "name", autocomplete: "off" })),
      ),
      "Create the tenant",
      async (asked) => {
        const body = { customer_id: asked.customer.value, name: asked.name.value };
        const answer = await ask("POST", "/v1/tenants", body);
        say(`Tenant ${body.customer_id} created.`);
        asked.reset();
        made.replaceChildren(
          h(
            "div",
            { class: "once" },
            h("p", {}, `The API key of ${body.customer_id}. It is shown only once:`),
            h("code", { id: "api-key" }, answer.api_key),
            h("p", {}, h("a", { href: `#/tenants/${encodeURIComponent(body.customer_id)}` }, "Add public keys and endpoints")),
          ),
        );
      },
    ),
  ];
}
