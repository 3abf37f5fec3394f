"""The console, in a real Chromium: an operator onboards a tenant and sees its events through."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import async_playwright, expect

from hookseal.seal.keys import generate_private_key
from tests.e2e.api import ADMIN_KEY
from tests.e2e.customer import Customer
from tests.e2e.local import Local, local_env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page, Route

pytestmark = pytest.mark.timeout(120)

expect.set_options(timeout=30_000)

# Where pictures for the documentation go, if they are to be taken anew.
PICTURES = os.environ.get("HOOKSEAL_TEST_PICTURES")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        await running.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    env = {
        **local_env("memory://"),
        "HOOKSEAL_RETRY_DELAYS_S": "0.2,0.2",
        "HOOKSEAL_SUSPEND_AFTER": "0",
    }
    running = await Local("local", env, tmp_path, "--ordering", "customer").start()
    await running.ready()
    yield running
    await running.stop()


class Watched:
    """A page of the console, and what it complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)
        page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))

    def _note(self, message: Any) -> None:
        # A refused request is a line of the browser's own.
        if message.type == "error" and "status of 4" not in message.text:
            self.complaints.append(message.text)

    async def log_in(self, key: str) -> None:
        await self.page.goto(f"{self.url}/console")
        await self.page.get_by_label("Key").fill(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    async def picture(self, name: str) -> None:
        if PICTURES:
            await self.page.screenshot(
                path=Path(PICTURES) / f"console-{name}.png", full_page=True, animations="disabled"
            )


async def opened(browser: Browser, stack: AsyncExitStack, url: str, **how: Any) -> Watched:
    context = await browser.new_context(
        viewport=how.pop("viewport", {"width": 1200, "height": 800}), **how
    )
    stack.push_async_callback(context.close)
    page = await context.new_page()
    page.set_default_timeout(30_000)
    return Watched(page, url)


async def onboard(watched: Watched, acme: Customer, private: bytes, public: bytes) -> None:
    """Make the tenant, its keys and its endpoint, by hand."""
    page = watched.page
    await watched.log_in(ADMIN_KEY)
    await page.get_by_role("link", name="Tenants").click()
    await page.get_by_label("Customer id").fill("acme")
    await page.get_by_label("Name").fill("Acme Ltd")
    await page.get_by_role("button", name="Create the tenant").click()
    acme.api_key = (await page.locator("#api-key").text_content()) or ""
    await page.get_by_role("link", name="Add public keys and endpoints").click()

    # An error says what is wrong and what to do.
    await page.get_by_role("textbox", name="Key").fill(private.decode())
    await page.get_by_role("button", name="Add the key").click()
    await expect(page.get_by_role("status")).to_contain_text("private_key_submitted")
    await page.get_by_role("textbox", name="Key").fill(public.decode())
    await page.get_by_role("button", name="Add the key").click()
    await expect(page.get_by_role("status")).to_contain_text("The key is active")

    await page.get_by_role("button", name="Create an API key").click()
    acme.api_key = (await page.locator("#api-key").text_content()) or ""
    await acme.do("GET", "/public-keys")

    await page.get_by_label("URL").fill(acme.url)
    await page.get_by_role("button", name="Add the endpoint").click()
    acme.secrets.append((await page.locator("#signing-secret").text_content()) or "")


async def test_a_tenant_is_onboarded_and_its_events_are_seen_through(
    browser: Browser, local: Local
) -> None:
    private, public = generate_private_key("x25519")
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(Customer(local, "acme"))
        acme.private_keys.append(private)
        watched = await opened(browser, stack, local.url)
        page = watched.page

        await onboard(watched, acme, private, public)

        await page.get_by_role("button", name="Send a test event").click()
        await acme.until(lambda: bool(acme.got("hookseal.test")))
        deliveries = page.get_by_role("region", name="Deliveries")
        await expect(deliveries).to_contain_text("hookseal.test")
        await expect(deliveries).to_contain_text("accepted")

        # The receiver breaks: the backoff is seen, then the dead letter.
        acme.status = 503
        await page.get_by_role("button", name="Publish", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Published as evt_")
        await expect(deliveries).to_contain_text("http_503")
        await expect(deliveries).to_contain_text("3 of 3")
        letters = page.get_by_role("region", name="Dead letters")
        await expect(letters).to_contain_text("attempts_exhausted")
        await watched.picture("tenant")

        await deliveries.get_by_role("link", name=re.compile("^evt_")).first.click()
        await expect(page.get_by_role("row")).to_have_count(4)
        await page.get_by_role("link", name="← acme").click()

        # It is mended: first what would be done, then it is done.
        acme.status = 200
        await page.get_by_role("button", name="Replay …").click()
        await expect(letters).to_contain_text("Dead letters to replay: 1.")
        assert acme.got("console.tried") == []
        await page.get_by_role("button", name="Replay 1").click()
        await acme.until(lambda: len(acme.got("console.tried")) == 1)
        await expect(letters).to_contain_text("No dead letters.")

        await page.get_by_role("link", name="Overview").click()
        await expect(page.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("accepted and 3 failed attempts in the last minute")
        )
        await watched.picture("overview")

    assert watched.complaints == []
    assert watched.asked == {local.url.removeprefix("http://")}


async def test_what_is_shown_once_outlasts_the_page_drawn_anew(
    browser: Browser, local: Local
) -> None:
    _, public = generate_private_key("x25519")
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(Customer(local, "acme"))
        await acme.subscribe()
        watched = await opened(browser, stack, local.url)
        page = watched.page
        held, go_on = asyncio.Event(), asyncio.Event()

        async def hold(route: Route) -> None:
            held.set()
            await go_on.wait()
            await route.continue_()

        await watched.log_in(acme.api_key)
        await expect(page.get_by_role("heading", level=1)).to_have_text("acme")
        await page.get_by_role("textbox", name="Key").fill(public.decode())
        stack.callback(go_on.set)
        await page.route("**/v1/tenants/acme", hold)
        await page.get_by_role("button", name="Add the key").click()
        await asyncio.wait_for(held.wait(), 60)
        # In between: the key is there, and the page with it is not.
        await page.get_by_role("button", name="Create an API key").click()
        await expect(page.locator("#api-key")).to_have_text(re.compile("^whk_"))
        key = await page.locator("#api-key").text_content()
        go_on.set()
        await expect(
            page.get_by_role("table", name="Events are encrypted to the active key")
        ).to_be_visible()
        await expect(page.locator("#api-key")).to_have_text(key or "")

        await page.get_by_label("URL").fill(acme.url)
        await page.get_by_role("button", name="Add the endpoint").click()
        await expect(page.locator("#signing-secret")).to_have_text(re.compile("^whsec_"))
        await page.get_by_role("button", name="Disable …").click()
        await page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        await expect(page.get_by_role("status")).to_contain_text("Endpoint disabled.")
        await expect(page.locator("#signing-secret")).to_have_text(re.compile("^whsec_"))

        # Whoever leaves the page leaves them behind.
        await page.goto(f"{local.url}/console#/tenants/other")
        await expect(page.get_by_role("status")).to_contain_text("unknown_tenant")
        await page.goto(f"{local.url}/console#/tenants/acme")
        await expect(
            page.get_by_role("table", name="Events are delivered to these URLs")
        ).to_be_visible()
        await expect(page.locator("#api-key, #signing-secret")).to_have_count(0)

    assert watched.complaints == []


async def test_a_tenant_sees_itself_alone(browser: Browser, local: Local) -> None:
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(Customer(local, "acme/<b>x</b>"))
        await acme.subscribe()
        other = await stack.enter_async_context(Customer(local, "other"))
        await other.subscribe()
        how = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}
        watched = await opened(browser, stack, local.url, **how)
        page = watched.page

        await watched.log_in(acme.api_key)
        # A name is a text, whatever stands in it.
        await expect(page.get_by_role("heading", level=1)).to_have_text("acme/<b>x</b>")
        await expect(page.get_by_role("link", name="Tenants")).to_have_count(0)
        await watched.picture("phone")
        # Nothing is wider than the phone.
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.goto(f"{local.url}/console#/tenants/other")
        await expect(page.get_by_role("status")).to_contain_text("unknown_tenant")

        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Key")).to_be_focused()
        assert await page.evaluate("sessionStorage.length") == 0

    assert watched.complaints == []


async def test_a_key_that_is_none_is_told(browser: Browser, local: Local) -> None:
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, local.url)
        await watched.page.goto(f"{local.url}/console")
        # By keyboard alone: the field has the focus.
        await watched.page.keyboard.type("wha_nonsense")
        await watched.page.keyboard.press("Enter")

        await expect(watched.page.get_by_role("status")).to_contain_text("[unauthorized]")
        await expect(watched.page.get_by_label("Key")).to_be_visible()


async def test_nothing_else_may_run_in_it(browser: Browser, local: Local) -> None:
    async with AsyncExitStack() as stack:
        watched = await opened(browser, stack, local.url)
        answer = await watched.page.goto(f"{local.url}/console")

        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-cache"
        ran = await watched.page.evaluate(
            """() => {
                for (const [tag, name, text] of [
                    ["script", "textContent", "window.ran = 1"],
                    ["img", "onerror", "window.ran = 1"],
                ]) {
                    try {
                        const made = document.createElement(tag);
                        made[name] = text;
                        document.body.append(made);
                    } catch { /* what may not even be written */ }
                }
                return window.ran;
            }"""
        )
        assert ran is None
