"""A real browser, how to look at pages in it, and what every page of ours has to keep to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests import tools

#: Where the pictures of the documentation are written, if they are to be made again.
_PICTURES = os.environ.get("PICTURES")

#: The sizes that the pages are looked at in.
SIZES = ((1400, 900), (1100, 700), (390, 844))

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
    "--window-size=1400,900",
    "--disable-lcd-text",  # pictures are grey at the edges of letters, and smaller
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
        resize(driver, *SIZES[0])
        yield driver
    finally:
        driver.quit()


def until(browser: Any, condition: Callable[[Any], Any]) -> Any:
    """Wait until a page is so. It may change while it is looked at."""
    changing = [StaleElementReferenceException]
    return WebDriverWait(browser, 20, 0.05, ignored_exceptions=changing).until(condition)


def find(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements(By.CSS_SELECTOR, selector))


def text_of(browser: Any, selector: str) -> str:
    return str(browser.find_element(By.CSS_SELECTOR, selector).text)


def errors_of(browser: Any, *expected: str) -> list[str]:
    """What the browser has complained of since it was last asked, without what was expected."""
    texts = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [text for text in texts if not any(part in text for part in expected)]


def resize(browser: Any, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def take_picture(browser: Any, name: str) -> None:
    """A picture for the documentation, if there are to be new ones."""
    if _PICTURES:
        assert browser.save_screenshot(str(Path(_PICTURES, name)))


def check_looks(browser: Any, panels: list[str]) -> None:
    """A page fits all sizes, has no scrollbar in a scrollbar, and nothing that axe objects to.

    Args:
        browser: Shows the page.
        panels: The buttons for the panels that a small window shows one at a time.
    """
    # https://github.com/dequelabs/axe-core
    browser.execute_script(Path(tools.find("axe-core"), "axe.min.js").read_text())
    for width, height in SIZES:
        resize(browser, width, height)
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            for panel in panels if width < 500 else [""]:
                for button in find(browser, f"#tabs [data-tab='{panel}']"):
                    button.click()
                rules = ["color-contrast"] if scheme == "dark" else None  # the rest is as it was
                found = browser.execute_script(_SCROLLBARS)
                found += browser.execute_async_script(_VIOLATIONS, rules)
                assert not found, f"{width}x{height}, {scheme} {panel}: {found}"
    resize(browser, *SIZES[0])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


#: What scrolls sideways, and what scrolls within something that scrolls.
_SCROLLBARS = """
  const root = document.documentElement, all = [...document.querySelectorAll("body, body *")];
  const can = (e, axis) => /auto|scroll/.test(getComputedStyle(e)["overflow" + axis])
    && e.checkVisibility();
  const down = all.filter((e) => can(e, "Y") && e.scrollHeight > e.clientHeight + 1);
  const page = root.scrollHeight > innerHeight;
  const name = (e) => e.tagName + "#" + e.id + "." + e.className;
  return [
    ...(root.scrollWidth > innerWidth ? ["the page scrolls sideways"] : []),
    ...all.filter((e) => can(e, "X") && e.scrollWidth > e.clientWidth + 1)
      .map((e) => name(e) + " scrolls sideways"),
    ...down.filter((e) => page || down.some((other) => other !== e && other.contains(e)))
      .map((e) => name(e) + " scrolls within what scrolls"),
  ];
"""

_VIOLATIONS = """
  const [rules, done] = arguments, options = { resultTypes: ["violations"] };
  if (rules) options.runOnly = rules;
  axe.run(options).then(({ violations }) => done(violations.flatMap(
    ({ id, nodes }) => nodes.map((node) => id + ": " + node.target + ": " + node.failureSummary))));
"""
