"""The screenshots that people look at can be made."""

from pathlib import Path

from playwright.async_api import Browser

from tests.transports.webrtc_page.gallery import picture


async def test_a_state_is_pictured_in_each_size_and_scheme(browser: Browser, tmp_path: Path) -> None:
    made = await picture(browser, tmp_path, ["talking"])
    assert {path.stem for path in made} == {
        "talking-light-phone", "talking-light-desktop", "talking-dark-phone", "talking-dark-desktop",
    }  # fmt: skip
    pictures = {path.read_bytes() for path in made}
    assert len(pictures) == 4, "light and dark, phone and desktop look different"
