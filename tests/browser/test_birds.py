"""A stranger's machine, in Chromium: no data, an empty cache, a bird from outside; and what is no bird, or no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.app import App
from tests.browser.page import address, settle, shot
from training import registry
from training.pictures import MAX_BYTES
from training.transfer.species import written

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW = 240_000  # milliseconds: a busy machine with two processors loads TensorFlow and a backbone
BIRDS = 3


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An app without PLUMAGE_DATA, its cache and runs empty."""
    server = App(tmp_path_factory.mktemp("bare"), None)
    try:
        yield server.start()
    finally:
        server.stop_everything()


def real_birds(data: str) -> list[tuple[Path, str]]:
    """The first picture of the official test list for each of the species at its quarters: (file, species)."""
    folder = Path(data) / "birds"
    if not (folder / "lists" / "test.txt").is_file():
        pytest.skip("needs the birds: PLUMAGE_DATA has no folder birds/")
    names = (folder / "lists" / "test.txt").read_text().split()
    species = list(dict.fromkeys(name.partition("/")[0] for name in names))
    chosen = [species[len(species) * quarter // 4] for quarter in range(1, BIRDS + 1)]
    firsts = [next(name for name in names if name.startswith(f"{one}/")) for one in chosen]
    return [(folder / "images" / name, written(name.partition("/")[0])) for name in firsts]


def head_of(backbone: str) -> str:
    """The shipped bird head on `backbone` that is best on validation pictures."""
    heads = [
        run for run in registry.models() if run.spec().data.backbone == backbone and run.spec().data.name == "birds"
    ]
    assert heads, f"no head on {backbone} ships"
    return max(heads, key=lambda run: run.card()["figures"]["validation"]["accuracy"]).id


def drop(page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(files)
    page.get_by_text(files[-1].name[:12]).first.wait_for()
    settle(page, timeout=SLOW / 1000)


def test_a_real_bird_is_named_and_explained_without_any_data(bare, open_page, data):
    """Of three birds chosen by `real_birds`, at least two species are in the top five (as four birds in five are)."""
    birds = real_birds(data)
    page = open_page(f"{address(bare.url, 'classify')}?model={head_of('resnet50v2')}")
    drop(page, *(file for file, _ in birds))
    lists = page.locator("ol.tops")
    expect(lists).to_have_count(len(birds), timeout=SLOW)
    heat = page.locator("img[alt^='Orange spoke for']")
    expect(heat).to_have_count(len(birds), timeout=SLOW)
    shot(page, "birds-named")
    named = [answer.locator(".name").all_inner_texts() for answer in lists.all()]
    right = [species in top for (_, species), top in zip(birds, named, strict=True)]
    assert all(len(top) == 5 for top in named) and sum(right) >= 2, list(zip(birds, named, strict=True))
    for image in heat.all():  # drawn: orange on grey, not one colour
        assert image.evaluate("image => image.complete && image.naturalWidth") > 0
    assert orange(page, heat.first) > 0.005
    assert "where the data set is on this machine" in page.locator(".like").first.inner_text()


def orange(page, image) -> float:
    """Share of the pixels of an <img> whose red is far above its blue."""
    return image.evaluate(
        """image => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const draw = canvas.getContext('2d');
            draw.drawImage(image, 0, 0);
            const p = draw.getImageData(0, 0, canvas.width, canvas.height).data;
            let hot = 0;
            for (let i = 0; i < p.length; i += 4) hot += p[i] - p[i + 2] > 80;
            return hot / (p.length / 4);
        }"""
    )


def test_no_bird_no_picture_and_too_much(bare, open_page, tmp_path):
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::8] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    (tmp_path / "huge.png").write_bytes(bytes(MAX_BYTES * 11 // 10))
    page = open_page(f"{address(bare.url, 'classify')}?model={head_of('resnet50v2')}")
    drop(page, *(tmp_path / name for name in ("broken.jpg", "stripes.png")))
    expect(page.locator("ol.tops")).to_have_count(1, timeout=SLOW)
    expect(page.get_by_text("This does not look like a bird")).to_be_visible()
    photo = page.locator("[data-testid=stVegaLiteChart] image").first.bounding_box()
    assert photo["width"] / photo["height"] == pytest.approx(400 / 300, rel=0.02), photo
    alerts = " ".join(page.get_by_role("alert").all_inner_texts())
    assert "broken.jpg is" in alerts
    page.locator("input[type=file]").set_input_files(tmp_path / "huge.png")
    expect(page.get_by_text("must be 40.0MB or smaller")).to_be_visible()
    shot(page, "birds-none")
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    shot(page, "birds-none-390")
