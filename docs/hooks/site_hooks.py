"""What MkDocs is told beside mkdocs.yml: pages made from the code, links out of docs/, formulas, and no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import command_pages
import formulas
import links
import plugin_pages
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = links.ROOT / "docs"
FOREIGN = re.compile(r"""<(?:script|link|img|iframe|source|video)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>""")
CANONICAL = 'rel="canonical"'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Names the pages that the navigation leaves to be found."""
    named = set(_named(config.nav))
    config.nav = [_expanded(item, named) for item in config.nav or []]
    return config


def _named(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item]
    parts = item.values() if isinstance(item, dict) else item
    return [name for part in parts for name in _named(part)]


def _expanded(item: Any, named: set[str]) -> Any:
    """The same with the pages of a folder in place of ``folder/*``, but for those that are named anyhow."""
    if isinstance(item, dict):
        return {title: _expanded(part, named) for title, part in item.items()}
    if isinstance(item, list):
        return [one for part in item for one in (_pages(part, named) if _found(part) else [_expanded(part, named)])]
    return item


def _found(item: Any) -> bool:
    return isinstance(item, str) and item.endswith("*")


def _pages(pattern: str, named: set[str]) -> list[str]:
    folder = pattern.rpartition("/")[0]
    if folder in plugin_pages.KINDS:
        return [f"{folder}/{entry.name}.md" for entry in plugin_pages.entries(folder)]
    below = (DOCS / folder).glob("*/README.md") if folder else ()
    files = sorted([*(DOCS / folder).glob("*.md"), *below])
    return [place for file in files if (place := file.relative_to(DOCS).as_posix()) not in named]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is no file below docs/: pages made from the code, and the files that pages link to."""
    for page, text in {**_made(), **_moved()}.items():
        if old := files.get_file_from_path(page):
            files.remove(old)
        files.append(File.generated(config, page, content=text))
    todo = [file for file in files if file.is_documentation_page()]
    while todo:
        page = todo.pop()
        for target in set(links.outside(page.content_string, page.src_uri)):
            if not files.get_file_from_path(links.place(target)):
                files.append(made := File.generated(config, links.place(target), abs_src_path=str(links.ROOT / target)))
                todo += [made] if made.is_documentation_page() else []
    return files


def _made() -> dict[str, str]:
    """Pages that are made from the code, around what was written by hand."""
    pages = {
        "reference/commands.md": command_pages.commands_page(_written("reference/commands.md")),
        "reference/vocabulary.md": reference.vocabulary_page(_written("reference/vocabulary.md")),
    }
    for kind in plugin_pages.KINDS:
        pages[f"{kind}/index.md"] = plugin_pages.index_page(kind, _written(f"{kind}/index.md"))
        for entry in plugin_pages.entries(kind):
            page = f"{kind}/{entry.name}.md"
            pages[page] = plugin_pages.plugin_page(entry, _written(page))
    return pages


def _moved() -> dict[str, str]:
    return {page: (links.ROOT / file).read_text(encoding="utf-8") for page, file in links.ORIGIN.items()}


def _written(page: str) -> str:
    file = DOCS / page
    return file.read_text(encoding="utf-8") if file.exists() else ""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 (MkDocs asks so)
    """Leads links to where their targets are in the site."""
    return links.rewritten(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 (MkDocs asks so)
    """Draws formulas."""
    return formulas.drawn(html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 (MkDocs asks so)
    """Lets no page out that would fetch something from elsewhere.

    Raises:
        PluginError: If one would.
    """
    foreign = [tag for tag in FOREIGN.findall(output) if CANONICAL not in tag]
    if foreign:
        raise PluginError(f"{page.file.src_uri} would fetch from elsewhere: {foreign[0]}")
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """Takes out the sitemap, which names an address that the site may never have."""
    for name in ("sitemap.xml", "sitemap.xml.gz"):
        (Path(config.site_dir) / name).unlink(missing_ok=True)
