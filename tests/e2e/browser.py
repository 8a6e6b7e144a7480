"""A real browser, and how to look at the reference page in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests import tools

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
)


@contextmanager
def browsing(profile: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    """Chromium with a profile of its own, until the block ends."""
    options = webdriver.ChromeOptions()
    options.binary_location = tools.find("chromium")
    for flag in (*_FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(tools.find("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def until(browser: Any, condition: Callable[[Any], Any]) -> Any:
    return WebDriverWait(browser, 20).until(condition)


def text_of(browser: Any, selector: str) -> str:
    return str(browser.find_element(By.CSS_SELECTOR, selector).text)


def say(browser: Any, text: str) -> None:
    browser.find_element(By.ID, "message").send_keys(text, Keys.ENTER)


def entries(browser: Any) -> list[str]:
    return [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#log .entry")]


def connected(browser: Any) -> None:
    until(browser, lambda b: text_of(b, "#status") == "connected")
