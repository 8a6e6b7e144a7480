"""The reference page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.e2e.browser import browsing, connected, entries, say, text_of, until
from tests.e2e.processes import Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path) as driver:
        yield driver


def rows(browser: Any, **data: str) -> list[Any]:
    conditions = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    return list(browser.find_elements(By.CSS_SELECTOR, f"#frames tbody tr{conditions}"))


def test_a_person_chats_and_sees_what_travels(browser: Any, server: Served) -> None:
    browser.get(server.http)
    connected(browser)
    until(browser, lambda b: any("You are connected!" in entry for entry in entries(b)))
    say(browser, "hello <b>world</b>")
    until(browser, lambda b: any(e.endswith("]: hello <b>world</b>") for e in entries(b)))

    # The browser itself says that permessage-deflate is in use, and so does the server.
    assert "permessage-deflate" in text_of(browser, "#browser-extensions")
    until(browser, lambda b: "permessage-deflate" in text_of(b, "#agreed"))
    verdicts = browser.find_elements(By.CSS_SELECTOR, '#offers tr[data-verdict="agreed"]')
    assert [row.text.split()[0] for row in verdicts] == ["permessage-deflate"]

    browser.find_element(By.ID, "sample").click()
    until(browser, lambda b: rows(b, direction="in", stage="app", size="2048"))
    (on_wire,) = rows(browser, direction="in", stage="wire", opcode="text")[-1:]
    assert int(on_wire.get_attribute("data-size")) < 200
    assert "RSV1" in on_wire.text
    until(browser, lambda b: "2 messages" in text_of(b, "#ratio-in"))
    assert "bytes" in text_of(browser, "#ratio-out")
    severe = [item for item in browser.get_log("browser") if item["level"] == "SEVERE"]
    assert severe == []


def test_two_tabs_see_each_other_and_a_leaver_can_come_back(browser: Any, server: Served) -> None:
    browser.get(server.http)
    connected(browser)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(server.http)
    connected(browser)
    say(browser, "hello from the second tab")
    browser.switch_to.window(first)
    until(browser, lambda b: any("hello from the second tab" in e for e in entries(b)))

    toggle = browser.find_element(By.ID, "toggle")
    toggle.click()
    until(browser, lambda b: text_of(b, "#status") == "disconnected")
    assert any(entry.startswith("closed: 1000") for entry in entries(browser))
    assert not browser.find_element(By.ID, "send").is_enabled()
    toggle.click()
    connected(browser)
    say(browser, "back again")
    until(browser, lambda b: any("back again" in entry for entry in entries(b)))


def test_the_browser_exchanges_compressed_messages_with_echo(browser: Any, server: Served) -> None:
    browser.get(server.http)
    browser.set_script_timeout(20)
    message = "compress me " * 500
    said = browser.execute_async_script(
        """
        const [url, message, done] = arguments;
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send(message);
        socket.onmessage = ({data}) => done([socket.extensions, data === message]);
        socket.onerror = () => done(["error", false]);
        """,
        f"{server.ws}/echo",
        message,
    )
    assert said[0].split(";")[0] == "permessage-deflate"
    assert said[1] is True


def test_the_page_comes_back_when_the_server_does(browser: Any) -> None:
    with serving() as served:
        browser.get(served.http)
        connected(browser)
        port = served.http.rstrip("/").rpartition(":")[2]
    until(browser, lambda b: text_of(b, "#status") != "connected")
    assert any("1001" in entry for entry in entries(browser))
    with serving("--port", port):
        connected(browser)
