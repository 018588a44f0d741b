"""The page: whole by itself, and safe whatever files and classes are called."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from gingham.audit.collect import audit
from gingham.audit.page import render_page
from gingham.audit.report import AttributeErrors, LabelError
from gingham.data.formats import read_labels

_EVIL = "<script>alert(1)</script>&amp;'\""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def page(tmp_path: Path) -> str:
    """Of a data set in which every section has something to show, and every name is hostile."""
    (tmp_path / "<script>").mkdir()
    names = [f"<script>/x' onerror=alert({number}).png" for number in range(4)]
    for number, name in enumerate(names):
        Image.effect_mandelbrot((120, 90), (-2 + number // 2, -1, 1, 1), 40).convert("RGB").save(tmp_path / name)
    (tmp_path / "broken<b>.png").write_text("<b>")
    evil = f'"{_EVIL.replace(chr(34), chr(34) * 2)}"'
    rows = [f'"{names[0]}",{evil},train,0,0,200,200', f'"{names[1]}",plain,val,0,0,20,20']
    rows += [f'"{names[2]}",plain,train,0,0,20,20', f'"{names[3]}",{evil},val,,,,', f"broken<b>.png,{evil},train,,,,"]
    table_file = tmp_path / "labels<i>.csv"
    table_file.write_text("\n".join(["image,<u>kind</u>,split,x1,y1,x2,y2".replace("/", ""), *rows]))
    table = read_labels(table_file)
    report = audit(table)
    error = LabelError(names[0], "train", "<u>kind<u>", _EVIL, "plain", 0.012, True)
    errors = {"<u>kind<u>": AttributeErrors(4, 0.5, 1, (_EVIL,), (error,))}
    return render_page(replace(report, label_errors=errors, model="<model>"), table)


class _Markup(HTMLParser):
    """The elements and attributes of a page, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_nothing_of_the_users_becomes_markup(page: str) -> None:
    markup = _Markup(page)
    assert not markup.elements & {"script", "u", "model", "iframe", "object", "link"}
    assert not {name for name in markup.attributes if name.startswith("on")}
    assert page.count("&lt;script&gt;alert(1)") >= 4
    assert "x&#39; onerror=alert(0).png" in page
    assert "broken&lt;b&gt;.png" in page


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|@import|url\(|<link|<iframe", page)
    assert set(re.findall(r'src="([^,;]{,20})', page)) == {"data:image/webp"}


def test_every_section_is_there(page: str) -> None:
    anchors = set(re.findall(r'href="#(\w+)"', page))
    assert anchors == set(re.findall(r'<section id="(\w+)"', page)) - {"classes"}
    assert "color-scheme: light dark" in page
