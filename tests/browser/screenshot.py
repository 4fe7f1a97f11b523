"""docs/screenshot.png, taken in Chromium: `python -m tests.browser.screenshot`, or `make screenshot`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import chromium
from tests.browser.app import ROOT, App
from tests.browser.page import address, settle

TARGET = ROOT / "docs" / "screenshot.png"
DESIGN = "?from=final"
WIDTH, HEIGHT = 1280, 980


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder) / "app").start()
        try:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.flags())
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.goto(address(app.url, "design") + DESIGN)
            settle(page)
            page.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
            page.wait_for_timeout(500)  # the charts fade in
            page.screenshot(path=TARGET)
            browser.close()
        finally:
            app.stop_everything()
    with Image.open(TARGET) as picture:  # 256 colours are enough for flat areas, and a third of the bytes
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(ROOT)}: {WIDTH}x{HEIGHT}, {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
