"""The page is one file that loads nothing, runs nothing of the user's, and holds everything."""

import base64
import hashlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from steelyard.core.generation import Generation
from steelyard.core.outcome import Outcome
from steelyard.report import html

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Elements, text and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.words: list[str] = []
        self.open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif self.open != "style":
            self.words.append(data)

    def payload(self) -> dict[str, object]:
        return json.loads(next(text for kind, text in self.scripts if kind == "application/json"))


@pytest.fixture
def page(certified: Outcome) -> Page:
    return Page(html.render(certified))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    loading = [
        (tag, name, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster") and not (value or "").startswith("#")
    ]
    assert loading == []
    assert not any(tag in ("link", "iframe", "object", "embed", "img", "base") for tag, _ in page.tags)


def test_styles_load_nothing(certified: Outcome) -> None:
    style = re.search(r"<style>(.*?)</style>", html.render(certified), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_only_our_scripts_may_run(page: Page) -> None:
    policy = next(str(each["content"]) for _, each in page.tags if each.get("http-equiv") == "Content-Security-Policy")
    runnable = [text for kind, text in page.scripts if kind is None]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in runnable}
    assert set(re.search(r"script-src ([^;]*)", policy)[1].split()) == hashes  # type: ignore[index]
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy


def test_hostile_text_stays_text(hostile: Outcome, page: Page) -> None:
    attacked = Page(html.render(hostile))
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in page.tags]
    assert "<img src=x onerror=alert(1)>" in "".join(attacked.words)
    assert not any(name.startswith("on") for _, attributes in attacked.tags for name in attributes)


def test_text_in_charts_can_not_end_its_script(hostile: Outcome) -> None:
    family = replace(hostile.chosen.candidate, family="</script><script>alert(1)</script><!--")
    chosen = replace(hostile.chosen, candidate=family)
    page = Page(html.render(replace(hostile, chosen=chosen)))
    families = {row["family"] for row in page.payload()["data"]["points"]}  # type: ignore[call-overload, index]
    assert "</script><script>alert(1)</script><!--" in families
    assert len(page.scripts) == 3


def test_json_in_a_script_reads_back() -> None:
    value = {"text": "</script><!-- & \u2028 é 漢"}
    text = html.script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_headings_do_not_skip_a_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_charts_have_words_for_those_who_can_not_see_them(page: Page) -> None:
    drawings = [attributes for _, attributes in page.tags if attributes.get("class") == "drawing"]
    assert len(drawings) == 6
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)


def test_ids_are_unique_and_every_anchor_leads_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"]
    assert set(anchors) <= set(ids)


def test_sections_without_data_are_left_out(infeasible: Outcome) -> None:
    text = html.render(infeasible)
    for section in ("front", "scale", "curves", "time", "failures"):
        assert f'id="{section}"' not in text
    assert "Misses max-size: asked 1.00 kB, got 35.9 kB." in text
    # Without a chart the library that draws them is left out too.
    assert len(text) < 60_000


def test_an_outcome_from_its_json_renders_the_same(certified: Outcome) -> None:
    again = Outcome.from_json(json.loads(json.dumps(certified.to_json())))
    assert html.render(again) == html.render(certified)


def test_five_hundred_points_stay_under_three_megabytes(five_hundred: Outcome) -> None:
    page = Page(html.render(five_hundred))
    assert len(html.render(five_hundred).encode()) < 3_000_000
    assert sum("data-key" in attributes for _, attributes in page.tags) == 2 * 500


def test_a_search_by_evolution_has_a_section_of_generations(certified):
    hall = ((certified.chosen.key, 0.75),)
    page = html.render(replace(certified, generations=(Generation(0, 20, 17, 2, 0, -1.5, -0.5, 0.75, hall),)))
    for text in ('<section id="generations"', 'href="#generations"', "chart-generations", "1 generation of 20"):
        assert text in page
    assert '<section id="generations"' not in html.render(certified)
