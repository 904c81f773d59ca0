"""HTML to text: paragraphs, list items and code keep their form; all other markup goes."""

import re
from html.parser import HTMLParser

BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "figure",
     "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "main", "nav", "ol", "p", "pre",
     "section", "summary", "table", "tr", "ul")
)  # fmt: skip
SPACES = re.compile(r"[^\S ]\s*| \s+")
"""What is more than one space, so that most of a text is passed over."""
HIDDEN = frozenset(("head", "script", "style", "template"))


def html_to_text(html: str) -> str:
    """The text that a reader of a page would see."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    parser.end_block()
    return "".join(parser.parts)


class _Text(HTMLParser):
    """Collects blocks; ``parts`` holds them with what separates them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._line, self._mark, self._verbatim, self._hidden = "", "", 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS or tag == "li":
            self.end_block()
            self._mark = "- " if tag == "li" else self._mark
        elif tag in ("td", "th"):
            self._line += " "
        elif tag == "br":
            self._line += "\n"
        elif tag == "img":
            self._line += dict(attrs).get("alt") or ""
        self._verbatim += tag == "pre"
        self._hidden += tag in HIDDEN

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS or tag == "li":
            self.end_block()
            self._mark = "" if tag == "li" else self._mark
        self._verbatim = max(self._verbatim - (tag == "pre"), 0)
        self._hidden = max(self._hidden - (tag in HIDDEN), 0)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._line += data if self._verbatim else SPACES.sub(" ", data)

    def end_block(self) -> None:
        """Take what was collected as a paragraph, or as an item of a list."""
        lines = self._line.split("\n") if self._verbatim else [" ".join(one.split()) for one in self._line.split("\n")]
        text, self._line = "\n".join(lines).strip("\n"), ""
        if text.strip():
            between = "" if not self.parts else "\n" if self._mark and self.parts[-1].startswith("- ") else "\n\n"
            self.parts += [between] * bool(between) + [self._mark + text]
            self._mark = ""
