"""A self-contained HTML report of a run: what stands behind its completions, and how far to trust that.

It reads through :class:`engine.run.Run`, the analyses and the kept results of checks, loads no torch, and needs no
network: one file with its own styles, in which every text of a document, a title or a setting is escaped.
"""

from engine.report.page import choose_completions, render_report, write_report

__all__ = ["choose_completions", "render_report", "write_report"]
