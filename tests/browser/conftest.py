"""Pages in Chromium: whatever the browser complains about, script errors and blocked content too, fails the test."""

import os
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.conftest import program

# Playwright's synchronous interface keeps an event loop in this thread, which Django takes for an async context.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
DESK = {"width": 1366, "height": 768}  # the smallest screen on which a whole decision must show
PATIENCE = 10_000  # ms
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TELL_WHAT_WAS_BLOCKED = """
document.addEventListener("securitypolicyviolation", blocked =>
    console.error(`blocked by ${blocked.effectiveDirective}: ${blocked.blockedURI} ${blocked.sample}`));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=OPTIONS)
        yield chromium
        chromium.close()
        connections.close_all()  # those opened under Playwright's event loop: nobody else reaches them


class Complaints(list[str]):
    """What the browser complained about. A test that provokes a refusal says so: `complaints.expect("409")`."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[str] = []

    def expect(self, text: str) -> None:
        self.expected.append(text)

    def unexpected(self) -> list[str]:
        return [complaint for complaint in self if not any(text in complaint for text in self.expected)]

    def listen(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (self.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.add_init_script(TELL_WHAT_WAS_BLOCKED)

    def _hear(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if message.type in {"error", "warning"} and not where.endswith("/favicon.ico"):  # the browser's own idea
            self.append(f"{message.type}: {message.text} ({where})")


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(browser, live_server, complaints) -> Iterator[Page]:
    """A page in a session of its own: `page.goto("/")`. Fails at the end on any complaint that was not expected."""
    context = browser.new_context(base_url=live_server.url, viewport=DESK, reduced_motion="reduce", locale="en-GB")
    context.set_default_timeout(PATIENCE)
    ours = urlsplit(live_server.url).netloc
    context.on("request", lambda asked: _note_if_outside(asked.url, ours, complaints))
    page = context.new_page()
    complaints.listen(page)
    yield page
    context.close()
    _wait_until_answered()
    assert complaints.unexpected() == []


def _wait_until_answered() -> None:
    """No request of a closed page is under way any more: the end of a test empties the tables that it would read."""
    asked = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
    for thread in asked:
        thread.join(timeout=PATIENCE / 1000)
    assert not any(thread.is_alive() for thread in asked), "The server still answers a page that is closed."


def _note_if_outside(url: str, ours: str, complaints: Complaints) -> None:
    address = urlsplit(url)
    if address.scheme in {"http", "https", "ws", "wss"} and address.netloc != ours:
        complaints.append(f"a page asked another server: {url}")


@pytest.fixture
def sign_in(live_server) -> Callable[[Page, object], None]:
    """`sign_in(page, user)`: the page's browser session belongs to the user from now on, without the sign-in page."""

    def sign_in(page: Page, user: object) -> None:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])

    return sign_in


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """`axe(page)`: the page as it stands keeps WCAG 2.2 AA, as far as a machine can tell."""

    def check(page: Page) -> None:
        # Without preload: it would copy the style sheets into the page, which our policy rightly blocks.
        options = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": WCAG}, "preload": False}
        found = Axe().run(page, options=options)
        assert found.violations_count == 0, found.generate_report()

    return check
