"""A hook of mkdocs: links from a page to files outside of docs/, which a checkout has and the site has not.

On the site such a link is the file's path as code, from the root of the checkout. Links inside docs/ stay, and mkdocs
checks them; those that leave it are checked by the tests.
"""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[((?:[^\]\[]|\n)+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page's text with those links replaced."""
    return without_outside_links(markdown, page.file.src_uri)


def without_outside_links(markdown: str, src_uri: str) -> str:
    """A page's text in which a link out of docs/ is its text and the path of the file.

    Args:
        markdown: The page.
        src_uri: Its path below docs/.
    """

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(src_uri), link[2]))
        if "://" in link[2] or target.startswith("docs/"):
            return link[0]
        text = link[1]
        return f"`{target}`" if text.strip("`") == target else f"{text} (`{target}`)"

    return _LINK.sub(replaced, markdown)
