"""Links of pages lead to the same place in the site, and nothing is fetched from elsewhere."""

import re
from types import SimpleNamespace

import pytest
from links import ROOT, outside, rewritten


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("limits.md", "../SECURITY.md", "project/security.md"),
        ("attacks/gmi.md", "../measurement.md#intervals", "../measurement.md#intervals"),
        ("project/contributing.md", "docs/plugins.md", "../plugins.md"),
        ("project/contributing.md", "docs/decisions", "../decisions/index.md"),
        ("tutorials/own-faces.md", "../../examples/real_faces.toml", "../source/examples/real_faces.toml"),
        ("studies/index.md", "real-people/README.md", "real-people/README.md"),
        ("limits.md", "https://example.org/SECURITY.md", "https://example.org/SECURITY.md"),
        ("limits.md", "../no-such-file.md", "../no-such-file.md"),
    ],
)
def test_links_are_led(page: str, link: str, led: str) -> None:
    assert rewritten(f"See [it]({link}).", page) == f"See [it]({led})."


def test_files_that_are_no_pages_are_taken_along() -> None:
    text = "[plan](../examples/real_faces.toml), [page](store.md), [rules](../SECURITY.md), [nothing](../nothing.toml)"
    assert list(outside(text, "limits.md")) == ["examples/real_faces.toml"]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://unpkg.com/mermaid.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        "<img src=http://example.org/a.png>",
        '<iframe title="x" src="https://example.org"></iframe>',
    ],
)
def test_a_page_that_would_fetch_from_elsewhere_stops_the_build(tag: str) -> None:
    exceptions = pytest.importorskip("mkdocs.exceptions")
    on_post_page = pytest.importorskip("site_hooks").on_post_page
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    fine = (
        '<a href="https://example.org">elsewhere</a><img src="pictures/a.svg"><link rel="canonical" href="https://x.y">'
    )
    assert on_post_page(fine, page, None) == fine
    with pytest.raises(exceptions.PluginError, match=r"a\.md would fetch from elsewhere"):
        on_post_page(fine + tag, page, None)


def test_formulas_become_mathml() -> None:
    drawn = pytest.importorskip("formulas").drawn
    made = drawn('<p>So <span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\nx^2\n\\]</div>')
    assert "arithmatex" not in made
    assert made.count("<math") == 2
    assert "<msup>" in made


def test_every_formula_can_be_drawn() -> None:
    """What is not known would be shown as it is written, backslash and all."""
    convert = pytest.importorskip("latex2mathml.converter").convert
    texts = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    formulas = [found for text in texts for found in re.findall(r"(?ms)^```math\n(.*?)^```", text)]
    assert len(formulas) > 30
    assert not [formula for formula in formulas if "\\" in convert(formula.strip())]
