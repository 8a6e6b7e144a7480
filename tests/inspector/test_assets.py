"""The files of the pages: what they are sent with, and that none comes from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import wsext
from tests.inspector.pages import get, serving
from wsext.inspector import assets
from wsext.reference import build_app

ROOT = Path(__file__).parents[2] / "wsext"
PAGES = sorted(ROOT.glob("*/web/*"))


async def test_every_file_that_a_page_asks_for_is_there_with_its_type_and_policy() -> None:
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    async with serving() as (_, server), wsext.serve(build_app()) as reference:
        for prefix, folder, at in (
            ("/_wsext/web/", ROOT / "inspector" / "web", server),
            ("/web/", ROOT / "reference" / "web", reference),
        ):
            texts = [path.read_text() for path in folder.iterdir()]
            asked = {name for text in texts for name in re.findall(r'"(?:web|\.)/([\w.]+)"', text)}
            assert len(asked) > 4
            for name in asked - {"about.json"}:
                status, headers, body = await get(at, prefix + name)
                assert status == 200, name
                assert headers["content-type"].startswith(types[name.rpartition(".")[2]])
                assert headers["x-content-type-options"] == "nosniff"
                assert body


def test_the_policy_allows_nothing_inline() -> None:
    policy = assets.HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    page = assets.page("wsext.inspector", "login.html", 403)
    assert (page.status, page.content_type) == (403, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_neither_styles_nor_scripts_inline_nor_makes_html_of_texts(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<style|<script(?! type=.module. src=)| style=| on\w+=\"", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
