"""Static files."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from transports.webrtc.page_files import PageFiles


@pytest.fixture
def page(tmp_path: Path) -> PageFiles:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "call.js").write_text("export {};")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "inner").mkdir()
    return PageFiles(tmp_path)


def ask(name: str, **headers: str) -> web.Request:
    return make_mocked_request("GET", f"/page/{name}", headers, match_info={"file": name})


async def test_types_are_what_browsers_insist_on(page: PageFiles) -> None:
    types = [(await page.file(ask(name))).content_type for name in ("call.js", "icon.svg", "index.html")]
    assert types == ["text/javascript", "image/svg+xml", "text/html"]


async def test_an_unchanged_file_is_not_sent_again(page: PageFiles) -> None:
    first = await page.file(ask("call.js"))
    again = await page.file(ask("call.js", **{"If-None-Match": first.headers["ETag"]}))
    assert (first.status, again.status) == (200, 304)
    assert not again.body


@pytest.mark.parametrize("name", ["inner", "../secret", "", "nothing.js"])
async def test_what_is_no_file_of_the_page_is_not_found(page: PageFiles, name: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        await page.file(ask(name))


def test_without_an_index_there_is_no_page(tmp_path: Path) -> None:
    assert not PageFiles(tmp_path)
    assert not PageFiles(tmp_path / "missing")
