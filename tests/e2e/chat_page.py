"""How to use the reference page in a real browser."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import find, text_of, until


def say(browser: Any, text: str) -> None:
    browser.find_element(By.ID, "message").send_keys(text, Keys.ENTER)


def entries(browser: Any, kind: str = "") -> list[str]:
    return [item.text for item in find(browser, f"#log .entry{kind}")]


def connected(browser: Any) -> None:
    until(browser, lambda b: text_of(b, "#status") == "connected")
