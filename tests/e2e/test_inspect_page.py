"""The live page in a real browser, with sessions that are alive.

Its picture in the documentation is made by ``PICTURES=docs pytest tests/e2e/test_inspect_page.py``.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

import wsext
from tests.e2e.browser import (
    browsing,
    check_looks,
    errors_of,
    find,
    resize,
    take_picture,
    text_of,
    until,
)
from tests.e2e.processes import ENV, serving
from wsext import Session
from wsext.inspector import Inspector
from wsext.reference import FEEDS, build_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXTENSIONS = ("permessage-deflate", "permessage-zstd", "permessage-brotli", "permessage-checksum")
TOKEN = "the-token-of-this-server"


class Place:
    """A server with the page, and its clients, on a loop that runs while the browser is waited for.

    Attributes:
        inspector: The page.
        port: Where the server listens, also when it is started again.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.token = TOKEN
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(40)

    def start(self) -> None:
        self.run(self._start())

    async def _start(self) -> None:
        app = build_app()
        for name in EXTENSIONS:
            app.install(name)
        self.inspector = app.install(Inspector(token=self.token, hidden=[FEEDS]))

        @app.websocket("/deep/<path:rest>")
        async def deep(session: Session, rest: str) -> None:
            session.name = "\u202egnp.exe <img src=x>"
            await session.wait_closed()

        self._stack = AsyncExitStack()
        server = await self._stack.enter_async_context(wsext.serve(app, port=self.port))
        self.port = server.port

    def stop(self) -> None:
        self.run(self._stack.aclose())

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @property
    def page(self) -> str:
        return self.inspector.url(f"http://127.0.0.1:{self.port}")

    def open(self, path: str, *extensions: str) -> Session:
        url = f"ws://127.0.0.1:{self.port}{path}"
        opening = wsext.connect(url, extensions=extensions)

        async def opened() -> Session:
            return await opening

        return self.run(opened())  # type: ignore[no-any-return]

    def say(self, session: Session, *messages: str) -> None:
        """Send messages, each after the answer to the one before."""

        async def talk() -> None:
            for message in messages:
                await session.send(message)
                await session.receive()

        self.run(talk())

    def end(self, *sessions: Session, code: int = 1000, reason: str = "") -> None:
        for session in sessions:
            self.run(session.close(code, reason))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    place = Place()
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(window: webdriver.Chrome, place: Place) -> Iterator[webdriver.Chrome]:
    """The browser, with the page open."""
    window.get("about:blank")
    window.get(place.page)
    live(window)
    yield window
    assert errors_of(window, "403", "WebSocket connection", "ERR_CONNECTION_REFUSED") == []


def live(browser: Any) -> None:
    until(browser, lambda b: text_of(b, "#status") == "live")


def rows(browser: Any, **data: str) -> list[Any]:
    conditions = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    return find(browser, f"#sessions tbody tr{conditions}")


def watch(browser: Any, **data: str) -> Any:
    """Choose a session as a person does: somewhere on its row."""
    row = until(browser, lambda b: rows(b, **data))[0]
    row.find_element(By.CSS_SELECTOR, "td:nth-child(4)").click()
    until(browser, lambda b: find(b, "#chosen:not(.nothing)"))
    return row


def frames(browser: Any, **data: str) -> list[Any]:
    conditions = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    found = find(browser, f".frames > li{conditions}:not(.gap)")
    return [row for row in found if row.is_displayed()]


def fill(browser: Any, selector: str, text: str) -> None:
    (field,) = find(browser, selector)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text or Keys.DELETE)


def choose(browser: Any, selector: str, value: str) -> None:
    Select(find(browser, selector)[0]).select_by_value(value)


def test_a_developer_sees_a_sessions_negotiation_and_its_frames(
    browser: Any, place: Place, tmp_path: Path
) -> None:
    session = place.open("/echo", *EXTENSIONS[:2][::-1])
    message = "<b>bold & risky</b> " * 20
    place.say(session, message)
    watch(browser, path="/echo")

    def offers(verdict: str) -> list[str]:
        found = find(browser, f'#offers tr[data-verdict="{verdict}"]')
        return [row.get_attribute("textContent") for row in found]

    assert offers("agreed")[0].startswith("permessage-zstd")
    assert any("RSV1, which is taken by permessage-zstd" in text for text in offers("skipped"))
    assert text_of(browser, "#negotiated") == "1 of 2 offers agreed"
    assert "app → permessage-zstd → wire" in text_of(browser, "#about")
    until(browser, lambda b: re.search(r"Holds\s+(nothing|[\d.,]+ [kM]?B)", text_of(b, "#about")))

    # What was sent before it was chosen is there; what changes nothing is folded.
    (incoming,) = until(browser, lambda b: frames(b, direction="in", opcode="text"))
    assert incoming.get_attribute("data-stages") == "wire permessage-zstd app"
    steps = [step.text for step in incoming.find_elements(By.CLASS_NAME, "step")]
    assert re.fullmatch(r"wire \d+ B RSV1", steps[0])
    assert steps[1:] == ["zstd = app 400 B"]
    assert "<b>bold & risky</b>" in incoming.text
    incoming.find_element(By.TAG_NAME, "summary").click()
    stages = until(browser, lambda b: incoming.find_elements(By.CSS_SELECTOR, "tbody tr"))
    assert [row.text.split()[:3] for row in stages] == [
        *(["wire", "text", "FIN"], ["permessage-zstd", "=", "app"])
    ]
    (outgoing,) = frames(browser, direction="out", opcode="text")
    assert outgoing.get_attribute("data-stages") == "app permessage-zstd wire"

    # They can be filtered, copied and exported.
    place.say(session, "needle")
    place.run(session.ping())
    until(browser, lambda b: frames(b, opcode="ping"))
    fill(browser, ".filters input", "NEEDLE")
    assert len(frames(browser)) == 2
    choose(browser, ".filters select:first-of-type", "in")
    assert [row.get_attribute("data-direction") for row in frames(browser)] == ["in"]
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
    find(browser, ".filters .bar button")[0].click()
    until(browser, lambda b: "copied" in text_of(b, ".filters"))
    read = "navigator.clipboard.readText().then(arguments[0])"
    lines = [json.loads(line) for line in browser.execute_async_script(read).splitlines()]
    assert [line["stage"] for line in lines] == ["wire", "permessage-zstd", "app"]
    assert {(line["event"], line["direction"]) for line in lines} == {("frame", "in")}
    assert lines[-1]["preview"] == "needle"
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    find(browser, ".filters .bar button")[1].click()
    until(browser, lambda b: list(tmp_path.glob("wsext-s*.jsonl")))
    (export,) = tmp_path.glob("wsext-s*.jsonl")
    assert [json.loads(line) for line in export.read_text().splitlines()] == lines
    fill(browser, ".filters input", "")
    choose(browser, ".filters select:first-of-type", "")
    choose(browser, ".filters select:last-of-type", "pong")
    assert [row.get_attribute("data-opcode") for row in frames(browser)] == ["pong"]
    choose(browser, ".filters select:last-of-type", "")

    # Without payloads, none is there, also of what was sent before.
    find(browser, "#chosen label input")[0].click()
    until(browser, lambda b: "needle" not in text_of(b, ".frames"))
    assert len(frames(browser, opcode="text")) == 4

    # It stays open after its end, and can be opened again.
    place.end(session, code=4001, reason="seen <enough>")
    until(browser, lambda b: "4001 “seen <enough>”, by the client" in text_of(b, "#about"))
    assert "has ended" in find(browser, "#news")[0].get_attribute("textContent")
    assert "4001" in text_of(browser, "#codes")
    find(browser, "#leave")[0].click()
    assert text_of(browser, "#chosen-title") == "No session is chosen"
    find(browser, "#chosen label input")[0].click()
    watch(browser, code="4001")
    until(browser, lambda b: "seen <enough>" in frames(b, opcode="close")[0].text)
    assert "needle" in text_of(browser, ".frames")


def test_sessions_are_found_filtered_and_sorted_and_the_chosen_one_stays_in_view(
    browser: Any, place: Place
) -> None:
    path = "/deep/" + "very/" * 12 + "<b>end"
    hostile = place.open(path, "permessage-brotli")
    others = [place.open("/greet", "permessage-deflate") for _ in range(30)]
    row = watch(browser, path=path)
    cell = row.find_element(By.CSS_SELECTOR, "td:nth-child(2)")
    assert cell.text.startswith("/deep/very/")
    assert "…" in cell.text
    title = cell.get_attribute("title")
    assert title.startswith(path)
    assert "\\u{202e}gnp.exe" in title  # what turns a line round is written out

    def in_view(row: Any) -> bool:
        area = find(browser, "section[data-tab=list] .scroll")[0].rect
        y = row.rect["y"]
        return bool(area["y"] <= y and y + row.rect["height"] <= area["y"] + area["height"] + 1)

    for place_in_list in ("0", "1e9"):
        browser.execute_script(
            f"document.querySelector('[data-tab=list] .scroll').scrollTop = {place_in_list}"
        )
        assert in_view(row.find_element(By.CSS_SELECTOR, "td:nth-child(2)"))

    def shown(*expected: str) -> bool:
        return bool(
            until(browser, lambda b: [r.get_attribute("data-path") for r in rows(b)] == [*expected])
        )

    place.end(*others[1:])
    until(browser, lambda b: len(rows(b, state="ended")) >= 29)
    assert "30 ended" in text_of(browser, "#shown") or "29 ended" in text_of(browser, "#shown")
    choose(browser, "#view-state", "open")
    assert shown("/greet", path)
    find(browser, "#sessions th[data-sort=path] button")[0].click()
    assert shown(path, "/greet")
    assert find(browser, "#sessions th[aria-sort=ascending]")[0].text.startswith("Path")
    find(browser, "#sessions th[data-sort=path] button")[0].click()
    assert shown("/greet", path)
    find(browser, "#leave")[0].click()
    ActionChains(browser).send_keys("/", "BROTLI").perform()
    assert shown(path)
    assert text_of(browser, "#shown") == "1 of 2 sessions"
    fill(browser, "#view-text", "")
    choose(browser, "#view-extension", "permessage-deflate")
    assert shown("/greet")
    choose(browser, "#view-extension", "")
    assert shown("/greet", path)

    buttons = find(browser, "#sessions tbody button")
    browser.execute_script("arguments[0].focus()", buttons[0])
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert browser.switch_to.active_element == buttons[1]
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(browser, lambda b: buttons[1].get_attribute("aria-pressed") == "true")

    # The reference page's second session, which feeds it, is not its user's, and neither is ours.
    browser.switch_to.new_window("tab")
    browser.get(f"http://127.0.0.1:{place.port}/")
    until(browser, lambda b: text_of(b, "#status") == "connected")
    assert find(browser, "#inspector[href='_wsext/']")[0].is_displayed()
    browser.switch_to.window(browser.window_handles[0])
    assert shown("/greet", path, "/chat")
    browser.switch_to.window(browser.window_handles[1])
    browser.close()
    browser.switch_to.window(browser.window_handles[0])
    place.end(hostile, others[0])


def test_a_flood_is_counted_and_the_page_stays_usable(browser: Any, place: Place) -> None:
    session = place.open("/echo")

    async def flood() -> None:
        async def send() -> None:
            for _ in range(5000):
                await session.send("x" * 10)

        session.create_task(send())
        for _ in range(5000):
            await session.receive()

    watch(browser, path="/echo", state="open")
    place.run(flood())
    gap = until(browser, lambda b: find(b, ".frames > li.gap"))[0]
    assert re.fullmatch(r"[\d,]+ frames are not shown: they came too fast", gap.text)
    assert len(find(browser, ".frames > li")) <= 200
    find(browser, "#pause")[0].click()
    assert text_of(browser, "#status") == "paused"
    place.say(session, "while it is paused")
    find(browser, "#pause")[0].click()
    until(browser, lambda b: "while it is paused" in text_of(b, ".frames"))
    place.end(session)


def test_the_page_is_grey_while_the_server_is_gone_and_comes_back_by_itself(
    browser: Any, place: Place
) -> None:
    place.stop()
    until(browser, lambda b: "The server is gone" in text_of(b, "#gone"))
    assert find(browser, "body.gone")
    place.start()
    live(browser)
    assert not find(browser, "body.gone")
    assert not find(browser, "#gone")[0].is_displayed()

    place.stop()
    place.token = "another token"
    place.start()
    until(browser, lambda b: "Another server answers here now" in text_of(b, "#gone"))
    find(browser, "#login")[0].click()
    until(browser, lambda b: find(b, "#token"))
    place.stop()
    place.token = TOKEN
    place.start()


def test_the_token_opens_it_and_nothing_else_does(window: Any) -> None:
    with serving("--inspect", env={**ENV, "WSEXT_PLUGINS": ""}) as served:
        assert served.process.stdout is not None
        line = served.process.stdout.readline()
        found = re.fullmatch(r"inspect: ((\S+/_wsext/)#(\S{32}))\n", line)
        assert found, line
        url, address, token = found.groups()
        window.get(address)
        assert not find(window, "#sessions")
        check_looks(window, [])
        fill(window, "#token", "guess" + Keys.ENTER)
        until(window, lambda b: "not the token" in text_of(b, "#text"))
        fill(window, "#token", url + Keys.ENTER)  # the whole address will do
        until(window, lambda b: find(b, "#sessions"))
        live(window)
        window.get("about:blank")
        window.get(address)  # the cookie stays
        live(window)
        assert token not in window.execute_script("return document.cookie + location.href")


LINES = """
  return [...document.querySelectorAll(".chart path:not(.area)")].map((e) => e.getAttribute("d"));
"""


def test_it_fits_every_window_and_everybody_can_use_it(browser: Any, place: Place) -> None:
    talkers = [
        place.open("/chat?name=Ada", "permessage-zstd", "permessage-deflate", EXTENSIONS[3]),
        place.open("/chat?name=Bob", "permessage-deflate"),
        place.open("/echo", "permessage-brotli"),
        place.open("/echo", "permessage-zstd"),
        place.open("/greet"),
    ]
    for number in range(12):
        items = [{"name": "tea", "price": 4 + number}] * (1 + number % 3)
        for talker in talkers:
            place.say(talker, json.dumps({"type": "order", "items": items}))
    for code, reason in ((1000, "done"), (4001, "moved on"), (1001, "tab closed")):
        place.end(place.open("/greet", "permessage-deflate"), code=code, reason=reason)
    row = until(browser, lambda b: [r for r in rows(b, path="/chat") if "Ada" in r.text])[0]
    row.click()
    until(browser, lambda b: find(b, "#offers tbody tr"))
    find(browser, "#negotiation summary")[0].click()
    until(browser, lambda b: len(frames(b)) > 8)
    last = frames(browser, direction="in", opcode="text")[-1]
    last.find_element(By.TAG_NAME, "summary").click()
    until(browser, lambda b: last.find_elements(By.CSS_SELECTOR, "tbody tr"))
    lines = browser.execute_script(LINES)  # at once, for they are drawn again and again
    assert len(lines) == 5
    assert all("L" in line for line in lines)
    assert browser.execute_script("return document.querySelectorAll('.times span').length") >= 3

    box = find(browser, "#chosen > .scroll")[0].rect
    assert box["y"] + box["height"] > 870  # of 900: the frames fill the height
    check_looks(browser, ["charts", "list", "chosen"])
    find(browser, "#range-whole")[0].click()
    last.find_element(By.TAG_NAME, "summary").click()
    resize(browser, 1240, 920)
    browser.execute_script("document.querySelector('.frames').parentNode.scrollTop = 1e9")
    take_picture(browser, "inspect.png")
    place.end(*talkers)
