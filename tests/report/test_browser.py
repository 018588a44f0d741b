"""The page in a browser: it loads nothing and fits, colours can be chosen, and axe has nothing serious to say."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from gingham.evaluation.decisions import decide, fitting_part
from gingham.report.page import Photos
from gingham.report.write import write_report
from gingham.schema import AttributeSchema
from tests.evaluation.samples import DEEPFASHION, predictions_of
from tests.report.samples import HISTORY, HOSTILE, photos_of, sure_predictions

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PAPER = "getComputedStyle(document.body).backgroundColor"
_LIGHT, _DARK = "rgb(251, 250, 247)", "rgb(23, 22, 20)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        # In CI that is a failure: .ci/run installs it.
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with everything in it, one with hostile names, one of 40 classes, one without labels."""
    folder = tmp_path_factory.mktemp("reports")
    whole = sure_predictions(0, 200, DEEPFASHION)
    attention = np.random.default_rng(0).random((6, 7, 7)).astype(np.float32)
    calibrated = whole.probabilities**0.5
    for part in DEEPFASHION.slices:
        calibrated[:, part] /= calibrated[:, part].sum(axis=1, keepdims=True)
    tags = whole.predicted
    confidence = np.take_along_axis(whole.probabilities, np.array([p.start for p in DEEPFASHION.slices]) + tags, axis=1)
    decisions = [
        decide(whole, tags, confidence, fitting_part(whole.ids), precision=precision, per_class=precision < 0.7)
        for precision in (0.6, 0.9)
    ]
    write_report(
        whole,
        folder / "whole.html",
        title="runs/whole",
        photos=Photos(photos_of(whole, folder / "photos")),
        history=HISTORY,
        calibrated=calibrated,
        other=whole,
        compared_with="other.parquet",
        decisions=decisions,
        explain=lambda ids: dict.fromkeys(ids, attention),
    )
    hostile = sure_predictions(1, 60, HOSTILE)
    write_report(hostile, folder / "hostile.html", title="<script>" + "x" * 200, other=hostile, compared_with="y" * 300)
    many = AttributeSchema.of(
        {"kind": [f"kind_{number}_of_garment" for number in range(40)], "fit": ["tight", "loose"]}
    )
    write_report(sure_predictions(2, 400, many), folder / "many.html", title="many classes")
    write_report(predictions_of([[-1, -1]] * 3, [[0, 1]] * 3), folder / "unlabelled.html", title="no labels")
    return {path.stem: path for path in folder.glob("*.html")}


@pytest.fixture
def opened(browser: Browser) -> Iterator[object]:
    contexts = []

    def open_page(path: Path, *, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


_REPORTS = ("whole", "hostile", "many", "unlabelled")


@pytest.mark.parametrize(
    ("name", "scheme"), [("whole", "light"), ("whole", "dark"), ("hostile", "light"), ("unlabelled", "dark")]
)
def test_axe_finds_nothing_serious(reports: dict[str, Path], opened, name: str, scheme: str) -> None:  # type: ignore[no-untyped-def]
    found = Axe().run(opened(reports[name], scheme=scheme)).response["violations"]
    serious = [
        f"{violation['id']}: {violation['nodes'][0]['html'][:200]} {violation['nodes'][0]['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)


@pytest.mark.parametrize("name", _REPORTS)
def test_a_phone_shows_it_without_scrolling_sideways(reports: dict[str, Path], opened, name: str) -> None:  # type: ignore[no-untyped-def]
    page = opened(reports[name], width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


@pytest.mark.parametrize("name", _REPORTS)
def test_it_loads_nothing_and_complains_of_nothing(reports: dict[str, Path], browser: Browser, name: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(reports[name].as_uri())
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:image/webp;")] == [reports[name].as_uri()]
    assert said == []
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.close()


def test_colours_follow_the_system_until_one_is_chosen(reports: dict[str, Path], opened) -> None:  # type: ignore[no-untyped-def]
    page = opened(reports["whole"], scheme="dark")
    assert page.evaluate(_PAPER) == _DARK
    page.focus("#theme-auto")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(_PAPER) == _LIGHT
    page.keyboard.press("ArrowRight")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(_PAPER) == _DARK
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(32, 30, 27)", "paper is white"


def test_attention_can_be_taken_off(reports: dict[str, Path], opened) -> None:  # type: ignore[no-untyped-def]
    page = opened(reports["whole"])
    seen = "getComputedStyle(document.querySelector('.heat')).opacity"
    assert page.evaluate(seen) == "1"
    page.add_style_tag(content=".heat { transition: none !important }")
    page.focus("#heat")
    page.keyboard.press("Space")
    assert page.evaluate(seen) == "0"


def test_it_prints(reports: dict[str, Path], opened) -> None:  # type: ignore[no-untyped-def]
    printed = opened(reports["whole"]).pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") in range(3, 15)
