"""The documentation says what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import benches, generate

ROOT = Path(generate.__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*.md")])


@pytest.mark.parametrize(("name", "mark"), [(name, mark) for name, mark, _ in generate.PARTS])
def test_generated_text_is_up_to_date(name, mark):
    stale = [str(path.relative_to(ROOT)) for path in generate.outdated()]
    assert name not in stale, f"{name} is out of date: run `make docs`"


def test_every_toggle_and_entry_is_on_the_page():
    page = generate.toggles_page()
    for key in (*generate.toggles.BY_KEY, *generate.catalogue.names()):
        assert f"| `{key}` |" in page


def test_text_outside_the_marks_stays():
    text = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n"
    new = generate.between(text, "figures", "new")
    assert new == "before\n<!-- figures -->\n\nnew\n\n<!-- /figures -->\nafter\n"
    assert generate.between(new, "figures", "new") == new
    with pytest.raises(ValueError, match="missing"):
        generate.between(text, "other", "new")


def test_a_recipe_is_timed_by_steps_like_its_own_or_not_at_all():
    found = benches.benches()
    assert found
    for measured in found.values():
        own = benches.step(measured, "plumage", benches.ENGINE)
        assert own is not None and benches.step(measured, "plumage-long", benches.ENGINE) == own
        assert benches.step(measured, "plumage-muon", benches.ENGINE) is None, "another batch and another optimizer"
        assert benches.step(measured, "final-taught", benches.ENGINE) is None, "its teacher answers in every step"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name} links to {target}, which is not there"


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name} names make {target}"
