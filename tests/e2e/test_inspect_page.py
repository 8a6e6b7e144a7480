"""The live page in a real browser, with sessions that are alive.

The picture of the documentation is made by
``INSPECT_PICTURE=docs/inspect.png pytest tests/e2e/test_inspect_page.py -k picture --timeout 300``.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import wsext
from tests.e2e.browser import browsing, text_of, until
from tests.e2e.processes import ENV, Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLUGINS = "permessage-deflate,permessage-zstd,permessage-checksum,presets"


@contextmanager
def inspected(*args: str) -> Iterator[tuple[Served, str]]:
    env = {**ENV, "WSEXT_PLUGINS": PLUGINS}
    with serving("--inspect", *args, env=env) as served:
        assert served.process.stdout is not None
        line = served.process.stdout.readline()
        found = re.fullmatch(r"inspect: (\S+/_wsext/#\S{32})\n", line)
        assert found, line
        yield served, found[1]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Served, str]]:
    with inspected() as served:
        yield served


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path) as driver:
        yield driver
        unexpected = [entry for entry in driver.get_log("browser") if "403" not in entry["message"]]
        assert not unexpected


class Clients:
    """Sessions on an event loop of their own, so that they live while the browser is waited for."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(40)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    try:
        yield clients
    finally:
        clients.close()


async def opened(url: str, *extensions: str, **options: Any) -> wsext.Session:
    return await wsext.connect(url, extensions=extensions, **options)


async def echoed(session: wsext.Session, message: str) -> None:
    await session.send(message)
    assert await session.receive() == message


def live(browser: Any) -> None:
    until(browser, lambda b: text_of(b, "#status") == "live")


def watch(browser: Any, path: str) -> str:
    """Choose the session on a path, as a person does; its id."""
    row = until(
        browser,
        lambda b: next(
            (
                row
                for row in b.find_elements(By.CSS_SELECTOR, "#sessions tbody tr")
                if path in row.text
            ),
            None,
        ),
    )
    button = row.find_element(By.TAG_NAME, "button")
    button.click()
    until(browser, lambda b: text_of(b, "#chosen-title").startswith("SESSION S"))
    return str(button.text)


def frames(browser: Any, **data: str) -> list[Any]:
    conditions = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    return list(browser.find_elements(By.CSS_SELECTOR, f"#frames > li{conditions}"))


def test_a_developer_sees_a_sessions_negotiation_and_its_frames(
    browser: Any, server: tuple[Served, str], clients: Clients
) -> None:
    served, page = server
    browser.get(page)
    live(browser)
    assert "#" not in browser.current_url  # the token is out of sight
    session = clients.run(opened(f"{served.ws}/echo", "permessage-zstd", "permessage-deflate"))
    watch(browser, "/echo")

    def offers(verdict: str) -> list[str]:
        rows = browser.find_elements(By.CSS_SELECTOR, f'#offers tr[data-verdict="{verdict}"]')
        return [row.text for row in rows]

    until(browser, lambda b: offers("agreed"))
    assert offers("agreed")[0].startswith("permessage-zstd")
    assert any("RSV1, which is taken by permessage-zstd" in text for text in offers("skipped"))
    assert "app → permessage-zstd → wire" in text_of(browser, "#about")
    until(browser, lambda b: re.search(r"Holds\s+(nothing|\w.* k?B)", text_of(b, "#about")))

    message = "<b>bold & risky</b> " * 20
    clients.run(echoed(session, message))
    incoming = until(browser, lambda b: frames(b, direction="in", opcode="text"))[0]
    assert incoming.get_attribute("data-stages") == "wire permessage-zstd app"
    assert "RSV1" in incoming.text
    assert "app 400 B" in incoming.text
    assert "<b>bold & risky</b>" in incoming.text
    incoming.find_element(By.TAG_NAME, "summary").click()
    until(browser, lambda b: incoming.find_elements(By.CSS_SELECTOR, "tbody tr"))
    rows = [row.text.split() for row in incoming.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert [row[0] for row in rows] == ["wire", "permessage-zstd", "app"]
    assert rows[0][1:4] == ["text", "FIN", "RSV1"]
    (outgoing,) = frames(browser, direction="out", opcode="text")
    assert outgoing.get_attribute("data-stages") == "app permessage-zstd wire"

    browser.find_element(By.ID, "payload").click()
    browser.find_element(By.ID, "clear").click()
    until(browser, lambda b: not frames(b, opcode="text"))
    clients.run(echoed(session, "hidden from now on"))
    until(browser, lambda b: len(frames(b, opcode="text")) == 2)
    assert "hidden" not in text_of(browser, "#frames")

    clients.run(session.close(4001, "seen <enough>"))
    ended = until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#closed [data-code='4001']"))
    assert "seen <enough>" in ended[0].text
    assert "client" in ended[0].text
    assert "ENDED: 4001 SEEN <ENOUGH>" in text_of(browser, "#chosen-title")
    assert "4001" in text_of(browser, "#codes")
    assert not browser.find_elements(By.CSS_SELECTOR, "#sessions tbody tr")


def test_the_token_opens_it_and_nothing_else_does(browser: Any, server: tuple[Served, str]) -> None:
    _, page = server
    address, _, token = page.partition("#")
    browser.get(address)
    assert not browser.find_elements(By.ID, "sessions")
    browser.find_element(By.ID, "token").send_keys("guess", Keys.ENTER)
    until(browser, lambda b: "not the token" in text_of(b, "#text"))
    browser.find_element(By.ID, "token").clear()
    browser.find_element(By.ID, "token").send_keys(token, Keys.ENTER)
    until(browser, lambda b: b.find_elements(By.ID, "sessions"))
    live(browser)
    browser.get("about:blank")
    browser.get(address)  # the cookie stays
    live(browser)
    assert token not in browser.execute_script("return document.cookie + location.href")


def test_a_flood_is_counted_and_the_page_stays_usable(
    browser: Any, server: tuple[Served, str], clients: Clients
) -> None:
    served, page = server
    browser.get(page)
    live(browser)
    session = clients.run(opened(f"{served.ws}/echo"))

    async def flood() -> None:
        async def send() -> None:
            for _ in range(5000):
                await session.send("x" * 10)

        session.create_task(send())
        for _ in range(5000):
            await session.receive()

    watch(browser, "/echo")
    clients.run(flood())
    gap = until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#frames > li.gap"))[0]
    assert re.fullmatch(r"[\d,]+ frames are not shown: they came too fast", gap.text)
    assert len(frames(browser)) <= 200
    browser.find_element(By.ID, "pause").click()
    assert text_of(browser, "#status") == "paused"
    browser.find_element(By.ID, "pause").click()
    browser.find_element(By.ID, "leave").click()
    assert text_of(browser, "#chosen-title") == "CHOOSE A SESSION"
    clients.run(session.close())
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "#sessions tbody tr"))


def test_the_page_says_when_the_server_is_another(browser: Any) -> None:
    with inspected() as (served, page):
        browser.get(page)
        live(browser)
        port = served.http.rstrip("/").rpartition(":")[2]
    until(browser, lambda b: text_of(b, "#status") != "live")
    with inspected("--port", port):
        until(browser, lambda b: text_of(b, "#status") == "another server: open its address")
    browser.get_log("browser")  # connections that were refused meanwhile


CONTRAST = """
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const back = (element) => {
    for (; element; element = element.parentElement) {
      const color = rgb(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const hasText = (e) => [...e.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
  const shown = (e) => e.checkVisibility() && !e.disabled && hasText(e);
  return [...document.querySelectorAll("body *")].filter(shown).map((e) => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.tagName + ": " + e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
"""


UNNAMED = """
  const named = (e) => e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label");
  return [...document.querySelectorAll("button, input, [role=img]")]
    .filter((e) => e.checkVisibility() && !named(e)).length;
"""


def test_it_can_be_read_at_every_width_and_used_by_keyboard(
    browser: Any, server: tuple[Served, str], clients: Clients
) -> None:
    served, page = server
    browser.get(page)
    live(browser)
    session = clients.run(opened(f"{served.ws}/echo", "permessage-deflate"))
    selector = "#sessions tbody button"
    button = until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, selector))[0]
    browser.execute_script("arguments[0].focus()", button)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(browser, lambda b: button.get_attribute("aria-pressed") == "true")
    clients.run(echoed(session, "a message that is long enough to be compressed " * 5))
    until(browser, lambda b: len(frames(b, opcode="text")) == 2)
    for width in (390, 820, 1400):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert browser.execute_script(CONTRAST) == []
    assert browser.execute_script(UNNAMED) == 0
    clients.run(session.close())


# --- the picture ------------------------------------------------------------------------------


async def scene(served: Served, until_done: asyncio.Event) -> None:
    """Sessions of several kinds that talk until the picture is taken."""
    chance = random.Random(6455)

    async def talk(path: str, *extensions: str, pace: float, size: int) -> None:
        async with wsext.connect(f"{served.ws}{path}", extensions=extensions) as session:

            async def read() -> None:
                async for _ in session:
                    pass

            session.create_task(read())
            while not until_done.is_set():
                order = {
                    "type": "order",
                    "id": chance.randrange(10**6),
                    "items": [{"name": "tea", "price": chance.random()}]
                    * chance.randrange(1, size),
                }
                await session.send_json(order)
                await asyncio.sleep(chance.expovariate(1 / pace))

    async def leave(code: int, reason: str) -> None:
        session = await opened(f"{served.ws}/greet", "permessage-deflate")
        await session.receive()
        await session.close(code, reason)

    async with asyncio.TaskGroup() as group:
        group.create_task(talk("/echo", "permessage-deflate", pace=0.15, size=40))
        group.create_task(talk("/echo", "permessage-zstd", pace=0.3, size=60))
        group.create_task(talk("/echo", pace=0.4, size=10))
        group.create_task(talk("/chat", "permessage-deflate", pace=0.5, size=12))
        group.create_task(
            talk("/chat", "permessage-zstd", "permessage-deflate", "permessage-checksum",
                 pace=0.4, size=20)
        )  # fmt: skip
        for code, reason in ((1000, ""), (1000, "done"), (4001, "moved on"), (1001, "tab closed")):
            group.create_task(leave(code, reason))


def test_the_picture_of_the_documentation(
    server: tuple[Served, str], clients: Clients, tmp_path: Path
) -> None:
    served, page = server
    wanted = os.environ.get("INSPECT_PICTURE")
    target = Path(wanted) if wanted else tmp_path / "inspect.png"
    with browsing(tmp_path / "profile", "--hide-scrollbars") as browser:
        metrics = {"width": 1400, "height": 1320, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(page)
        live(browser)
        done = asyncio.Event()
        talking = asyncio.run_coroutine_threadsafe(scene(served, done), clients.loop)
        until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#sessions tbody tr")) == 5)
        watch(browser, "permessage-checksum")
        browser.set_script_timeout(180)
        browser.execute_async_script(FILLED, 240 if wanted else 4)
        until(browser, lambda b: len(frames(b)) > 8)
        assert browser.execute_script(DRAWN)
        browser.execute_async_script(OPENED)
        assert browser.save_screenshot(str(target))
    assert target.read_bytes().startswith(b"\x89PNG")
    clients.loop.call_soon_threadsafe(done.set)
    talking.result(20)


FILLED = """
  const [count, done] = arguments, { points } = history_.get("all");
  const look = () => points.length >= count ? done() : setTimeout(look, 50);
  look();
"""
OPENED = """
  const rows = document.querySelectorAll("#frames > li[data-direction=in][data-opcode=text]");
  const row = [...rows].at(-1);
  const details = row.querySelector("details");
  details.addEventListener("toggle", () => {
    row.scrollIntoView({ block: "end" });
    scrollTo(0, 0);
    arguments[0]();
  });
  details.open = true;
"""
DRAWN = """
  return [...document.querySelectorAll(".chart path:not(.area)")]
    .every((path) => path.getAttribute("d").includes("L"));
"""
