"""Pages of the console in Chromium: questions, wrong addresses, phones, status, exact numbers."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.api import ADMIN_KEY
from tests.e2e.conftest import customers
from tests.e2e.customer import Customer
from tests.e2e.test_console import browser, local, opened  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request

    from tests.e2e.conftest import Provider
    from tests.e2e.local import Local

pytestmark = pytest.mark.timeout(180)

PHONE = {"viewport": {"width": 390, "height": 844}}
LONG_ID = "customer-" + "0123456789" * 5


async def customer_of(stack: AsyncExitStack, api: Local, customer_id: str) -> Customer:
    customer = await stack.enter_async_context(Customer(api, customer_id))
    await customer.subscribe()
    return customer


async def fits(page: Page, heading: str) -> None:
    """Check that a page is as wide as the phone, and at most eight screens long."""
    await expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate("document.documentElement.scrollHeight <= 8 * innerHeight")


async def destroy(page: Page, button: str, follows: str) -> None:
    """Cancel the question once; then confirm it."""
    ask = page.get_by_role("button", name=f"{button} …")
    dialog = page.get_by_role("dialog")
    await ask.first.click()
    await expect(dialog).to_contain_text(follows)
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(ask.first).to_be_enabled()
    await ask.first.click()
    await dialog.get_by_role("button", name=button).click()


async def test_each_destructive_action_asks_and_says_what_follows(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    async with AsyncExitStack() as stack:
        acme = await customer_of(stack, local, "acme")
        await acme.add_key()
        await acme.add_endpoint("*")
        watched = await opened(browser, stack, local.url)
        page = watched.page
        changes: list[str] = []

        def note(request: Request) -> None:
            if request.method != "GET":
                changes.append(request.method)

        page.on("request", note)
        await watched.log_in(ADMIN_KEY)
        await page.goto(f"{local.url}/console#/tenants/acme")
        said = page.get_by_role("status")

        keys = page.get_by_role("table", name="Events are encrypted to the active key")
        await keys.get_by_role("button", name="Remove …").click()
        await expect(page.get_by_role("dialog")).to_contain_text("dead-lettered until you add")
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert changes == []

        await destroy(page, "Rotate secret", "for 24 hours")
        await expect(page.locator("#signing-secret")).to_have_text(re.compile("^whsec_"))
        await destroy(page, "Disable", "become dead letters")
        await expect(said).to_contain_text("Endpoint disabled.")
        await destroy(page, "Revoke", "Requests with this key fail at once")
        await expect(said).to_contain_text("API key revoked.")
        await destroy(page, "Remove", "Without it, this tenant's events are dead-lettered")
        await expect(said).to_contain_text("Public key removed.")
        await destroy(page, "Remove", "undelivered events are dead-lettered")
        await expect(said).to_contain_text("Endpoint removed.")
        await destroy(page, "Disable the tenant", "become dead letters")
        await expect(said).to_contain_text("Tenant disabled.")
        await destroy(page, "Delete the tenant", "You cannot undo this")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tenants")
        await expect(page.get_by_text("No tenants yet.")).to_be_visible()

        assert len(changes) == 7
        assert watched.complaints == []


@pytest.mark.parametrize(
    ("address", "heading"),
    [
        ("#/tenants/nobody", "Not found."),
        ("#/tenants/%2e%2e", "Not found."),
        ("#/tenants/%", "Page not found."),
        ("#/tenants/%ff", "Page not found."),
        ("#/tenants/", "Page not found."),
        ("#//", "Page not found."),
        ("#/tenants/acme/events", "Page not found."),
        ("#/tenants/acme/other/1", "Page not found."),
        ("#/tenants/acme/events/1/2", "Page not found."),
        ("#/constructor", "Page not found."),
    ],
)
async def test_a_wrong_address_shows_no_page_of_another_tenant(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
    address: str,
    heading: str,
) -> None:
    async with AsyncExitStack() as stack:
        await customer_of(stack, local, "acme")
        watched = await opened(browser, stack, local.url)
        page = watched.page
        await watched.log_in(ADMIN_KEY)
        await page.goto(f"{local.url}/console#/tenants/acme")
        await expect(page.get_by_role("button", name="Create an API key")).to_be_visible()

        await page.goto(f"{local.url}/console{address}")

        await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        await expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
        await expect(page.get_by_role("main")).not_to_contain_text("API key")
        assert watched.complaints == []


async def test_the_skip_link_keeps_the_page(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, local.url)
        page = watched.page
        await watched.log_in(ADMIN_KEY)
        await expect(page.get_by_role("heading", name="Partitions")).to_be_visible()

        await page.get_by_role("link", name="Skip to the content").focus()
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("main")).to_be_focused()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


async def test_publish_sends_the_data_as_typed(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    data = '{"id": 9007199254740993, "amount": 0.10000000000000000555}'
    async with AsyncExitStack() as stack:
        acme = await customer_of(stack, local, "acme")
        await acme.add_key()
        await acme.add_endpoint("*")
        watched = await opened(browser, stack, local.url)
        page = watched.page
        await watched.log_in(acme.api_key)
        button = page.get_by_role("button", name="Publish", exact=True)

        # Not a value: it must not become further members of the request.
        await page.get_by_label("Data").fill('1, "type": "other"')
        await button.click()
        await expect(page.get_by_role("status")).to_contain_text("not valid JSON")
        await page.get_by_label("Data").fill(data)
        await button.click()
        await acme.until(lambda: bool(acme.got("console.tried")))

        assert data.encode() in acme.got("console.tried")[0].plaintext


async def test_a_long_page_fits_a_phone(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    async with AsyncExitStack() as stack:
        acme = await customer_of(stack, local, LONG_ID)
        await acme.add_key()
        await acme.add_endpoint("*")
        events = [{"type": "order.paid", "data": number} for number in range(60)]
        for event in events:
            await local.do("POST", "/v1/events", event, key=acme.api_key)
        await acme.until(lambda: len(acme.got("order.paid")) == len(events))
        watched = await opened(browser, stack, local.url, **PHONE)
        page = watched.page
        await watched.log_in(ADMIN_KEY)
        await fits(page, "Overview")
        await page.goto(f"{local.url}/console#/tenants")
        await fits(page, "Tenants")

        await page.goto(f"{local.url}/console#/tenants/{LONG_ID}")
        await fits(page, LONG_ID)
        deliveries = page.get_by_role("region", name="Deliveries")
        await expect(deliveries.get_by_role("row")).to_have_count(10)
        # No word breaks: "accepted" takes one line.
        accepted = deliveries.get_by_text("accepted", exact=True).first
        assert await accepted.evaluate("one => one.getClientRects().length") == 1
        await deliveries.get_by_role("button", name="Next").focus()
        await page.keyboard.press("Enter")
        await expect(deliveries).to_contain_text(re.compile("11.20 of 50"))
        # The table refreshes; the keyboard stays on the button.
        async with page.expect_response(lambda answer: "/dead-letters" in answer.url):
            pass
        await expect(deliveries).to_contain_text(re.compile("11.20 of 50"))
        await expect(deliveries.get_by_role("button", name="Next")).to_be_focused()

        await deliveries.get_by_role("link").first.click()
        await expect(page.get_by_role("row")).to_have_count(1)
        await fits(page, "evt_")
        await expect(page.get_by_role("columnheader")).to_have_count(0)
        assert watched.complaints == []


async def test_the_chart_has_units_and_times(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, local.url)
        await watched.log_in(ADMIN_KEY)

        plot = watched.page.get_by_role("figure")
        await expect(plot).to_contain_text("Attempts per second: accepted failed")
        assert await plot.locator(".y-axis span").all_text_contents() == ["2", "1", "0"]
        times = await plot.locator(".x-axis span").all_text_contents()
        assert len({time for time in times if ":" in time}) == 3


async def test_the_first_address_leads_to_the_console(
    browser: Browser,  # noqa: F811
    local: Local,  # noqa: F811
) -> None:
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, local.url)

        await watched.page.goto(local.url)

        assert watched.page.url == f"{local.url}/console"
        await local.until(lambda: f"API reference: {local.url}/docs" in local.lines)
        assert f"Console: {local.url}/console" in local.lines


@pytest.mark.broker
@pytest.mark.apache
async def test_the_first_page_says_that_no_worker_runs(
    browser: Browser,  # noqa: F811
    provider: Provider,
) -> None:
    (customer,) = customers(1, partition=2)
    await provider.tenant(customer)
    await provider.publish(customer, 0)
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, (await provider.api()).url)
        page = watched.page

        await watched.log_in(ADMIN_KEY)

        await expect(page.get_by_role("list", name="Problems")).to_contain_text(
            "No worker runs. Waiting events: 1."
        )
        partitions = page.get_by_role("table", name="Partitions of the topic events")
        await expect(partitions).to_contain_text("no worker")
        await expect(partitions.get_by_role("link", name=f"{customer}-0")).to_be_visible()
        await expect(page.get_by_text("so no attempt is made")).to_be_visible()

        await expect(partitions.get_by_role("link", name=customer, exact=True)).to_have_attribute(
            "href", f"#/tenants/{customer}"
        )
        assert watched.complaints == []
