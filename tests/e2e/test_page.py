"""The reference page in a real browser.

Its picture in the documentation is made by ``PICTURES=docs pytest tests/e2e/test_page.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import (
    PICTURE,
    browsing,
    check_looks,
    errors_of,
    find,
    resize,
    take_picture,
    text_of,
    until,
)
from tests.e2e.chat_page import connected, entries, say
from tests.e2e.processes import Served, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(window: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    yield window
    assert errors_of(window, "WebSocket connection", "ERR_CONNECTION_REFUSED") == []
    window.execute_script("localStorage.clear()")


def rows(browser: Any, **data: str) -> list[Any]:
    conditions = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    return find(browser, f".frames > li{conditions}")


def test_a_person_chats_and_sees_what_travels(browser: Any, server: Served) -> None:
    browser.get(server.http)
    connected(browser)
    name = browser.find_element(By.ID, "name")
    name.send_keys("Ada [<b>]", Keys.ENTER)
    until(browser, lambda b: len([e for e in entries(b) if "You are connected!" in e]) == 2)
    say(browser, "hello <b>world</b>")
    until(browser, lambda b: "Ada <b>\nhello <b>world</b>" in entries(b, ".mine"))

    # The browser itself says that permessage-deflate is in use, and so does the server.
    extensions = browser.find_element(By.ID, "browser-extensions")
    assert "permessage-deflate" in extensions.get_attribute("textContent")
    (chip,) = until(browser, lambda b: find(b, "#agreed .explained"))
    assert chip.text.startswith("permessage-deflate")
    (explanation,) = find(browser, "#agreed .explanation")
    assert not explanation.is_displayed()
    ActionChains(browser).move_to_element(chip).perform()
    until(browser, lambda b: explanation.is_displayed())
    assert "DEFLATE (RFC 7692)" in explanation.text
    assert "window of what the client sends" in explanation.text
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not explanation.is_displayed()
    offers = find(browser, '#offers tr[data-verdict="agreed"]')
    assert [row.get_attribute("textContent")[:18] for row in offers] == ["permessage-deflate"]

    # A message is one row, with its stages as chips: those that change nothing are one.
    browser.find_element(By.ID, "sample").click()
    until(browser, lambda b: "2 messages" in text_of(b, "#ratio-in"))
    sent = rows(browser, direction="in", opcode="text")[-1]
    assert sent.get_attribute("data-stages") == "wire permessage-deflate app"
    steps = [step.text for step in sent.find_elements(By.CLASS_NAME, "step")]
    assert len(steps) == 2
    assert steps[0].endswith("RSV1")
    assert steps[1] == "deflate = app 2,048 B"
    assert "bytes" in text_of(browser, "#ratio-out")

    assert text_of(browser, "header nav") == "Docs\nInspector"
    (hint,) = find(browser, "#no-inspector")
    ActionChains(browser).move_to_element(hint).perform()
    assert "wsext serve --inspect" in hint.text
    assert find(browser, "link[rel=icon][href$='icon.svg']")


def test_echo_and_greet_answer_as_the_chat_does_and_a_leaver_can_come_back(
    browser: Any, server: Served
) -> None:
    browser.get(server.http)
    connected(browser)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(server.http)
    connected(browser)
    say(browser, "hello from the second tab")
    until(browser, lambda b: any("hello from the second tab" in e for e in entries(b, ".mine")))
    browser.close()
    browser.switch_to.window(first)
    until(browser, lambda b: any("hello from the second tab" in e for e in entries(b)))
    assert entries(browser, ".mine") == []

    for mode, said, answer in (("echo", "again", "again"), ("greet", "Ada", "Hi, Ada!")):
        find(browser, f"#modes [data-mode={mode}]")[0].click()
        connected(browser)
        until(browser, lambda b: find(b, "#agreed .explained"))
        say(browser, said)
        assert entries(browser, ".mine")[-1] == f"you\n{said}"
        until(browser, lambda b, text=f"server\n{answer}": text in entries(b))
        until(browser, lambda b: rows(b, direction="out", opcode="text"))
    say(browser, "bye")
    until(browser, lambda b: "closed: 1000 Client said BYE" in entries(b))
    connected(browser)  # it comes back by itself

    toggle = browser.find_element(By.ID, "toggle")
    toggle.click()
    until(browser, lambda b: text_of(b, "#status") == "disconnected")
    assert not browser.find_element(By.ID, "send").is_enabled()
    toggle.click()
    connected(browser)


def test_it_fits_every_window_and_everybody_can_use_it(browser: Any, server: Served) -> None:
    browser.get(server.http)
    browser.execute_script("localStorage.setItem('wsext-name', 'Ada')")
    browser.refresh()
    connected(browser)
    browser.execute_script("window.bob = new WebSocket('chat?name=Bob')")
    for theirs, mine in (
        ("Good morning, Ada!", "Good morning! Who else is here?"),
        ("Everybody in the room: also you.", "a-long-word-" * 12),
    ):
        until(browser, lambda b: b.execute_script("return bob.readyState") == 1)
        browser.execute_script("bob.send(arguments[0])", theirs)
        until(browser, lambda b, text=f"Bob\n{theirs}": text in entries(b))
        say(browser, mine)
        until(browser, lambda b, text=f"Ada\n{mine}": text in entries(b, ".mine"))
    browser.find_element(By.ID, "sample").click()
    until(browser, lambda b: "3 messages" in text_of(b, "#ratio-in"))
    find(browser, "#travel > details summary")[0].click()
    rows(browser, direction="in")[1].find_element(By.TAG_NAME, "summary").click()
    until(browser, lambda b: find(b, ".frames tbody tr"))
    check_looks(browser, ["travel", "talk"])
    message = browser.find_element(By.ID, "message").rect
    assert message["y"] + message["height"] > 840  # of 900: the input is at the bottom
    find(browser, "#travel > details summary")[0].click()
    resize(browser, *PICTURE)
    take_picture(browser, "reference.png")


def test_the_page_comes_back_when_the_server_does(browser: Any) -> None:
    with serving() as served:
        browser.get(served.http)
        connected(browser)
    until(browser, lambda b: text_of(b, "#status") != "connected")
    assert any("1001" in entry for entry in entries(browser))
    with serving("--port", str(served.port)):
        connected(browser)
