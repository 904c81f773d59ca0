"""Folders of text, Markdown, code and LaTeX: which files are documents, what they are called, what is left out."""

import os

import pytest
from readings import compressed, read, read_counting, write_files

from engine import CorpusError
from engine.readers.choice import choose
from engine.readers.latex import plain_words, title_of, without_comments

PAPER = r"""% A paper.
\documentclass{article}
\newcommand{\R}{\mathbb{R}}
\title[Short]{On the {\it Poincar\'e} lemma\thanks{Supported.} \& friends} % a note
\begin{document}
\maketitle
It holds for 50\% of all cases.% not of others
    % a whole line
Line break \\% after it
\begin{verbatim}
x = 5 % 3
\end{verbatim}
\begin{comment}
Never shown.
\end{comment}
The end.
\end{document}
Ignored.
"""
BODY = r"""\maketitle
It holds for 50\% of all cases.
Line break \\
\begin{verbatim}
x = 5 % 3
\end{verbatim}
The end.
"""


def test_texts_are_called_by_their_path_and_markdown_by_its_heading(tmp_path):
    files = {
        "notes/spring/eggs.txt": "Eggs.\n", "notes/plan.md": "```\n# no heading\n```\n# The *plan* #\n\nText.\n",
        "top.md": "No heading.\n", "notes/old.txt.gz": compressed(b"Old.\n", ".gz"),
    }  # fmt: skip
    found = read(write_files(tmp_path / "Diary", files))
    assert [(document.id, document.title, document.source) for document in found] == [
        ("notes/old.txt", "notes/old.txt", "notes"),
        ("notes/plan.md", "The *plan*", "notes"),
        ("notes/spring/eggs.txt", "notes/spring/eggs.txt", "notes"),
        ("top.md", "top.md", "Diary"),
    ]
    assert found[2].text == "Eggs.\n"


def test_a_text_given_alone_is_one_document(tmp_path):
    folder = write_files(tmp_path, {"a.txt": b"\xef\xbb\xbfcaf\xc3\xa9", "b.txt": b"caf\xe9", "c.txt": b""})
    (document,) = read(folder / "a.txt", source="Mine")
    assert (document.text, document.title, document.source) == ("café", "a.txt", "Mine")
    with pytest.raises(CorpusError, match=r"b\.txt: byte 4 \(0xe9\) is not valid UTF-8"):
        read(folder / "b.txt")
    assert read(folder / "c.txt")[0].text == ""


def test_a_tree_leaves_out_what_is_no_text_and_says_how_much(tmp_path):
    files = {
        "src/area.py": "def area(): ...\n", "src/deep/er/er.hpp": "// none\n", "Makefile": "all:\n",
        ".git/config": "x", "src/.env": "SECRET", "src/__init__.py": "", "logo.png": b"\x89PNG", "data.py": b"\0\1\2",
        "old.c": b"// caf\xe9\n", "README.md": "# Hi\n",
    }  # fmt: skip
    folder = write_files(tmp_path / "tree", files)
    os.symlink(folder, folder / "src" / "loop")
    os.symlink(folder / "src" / "area.py", folder / "linked.py")
    os.symlink("itself", folder / "itself")
    assert choose(folder, None) == "code"
    found, skipped = read_counting(folder)
    assert {document.title: document.source for document in found} == {
        "Makefile": "Build files", "README.md": "Documentation", "linked.py": "Python code",
        "src/area.py": "Python code", "src/deep/er/er.hpp": "C++ code",
    }  # fmt: skip
    assert skipped == {
        "hidden files or folders": 2, "linked folders": 1, "broken links or devices": 1, "binary files": 1,
        "empty files": 1, "files that are not UTF-8": 1, "files of another kind": 1,
    }  # fmt: skip


def test_latex_loses_comments_and_preamble_and_keeps_its_title(tmp_path):
    folder = write_files(tmp_path / "papers", {"one/main.tex": PAPER, "one/parts/a.tex": "\\section{Part $a$}\nText."})
    first, second = read(folder)
    assert (first.id, first.source, first.title) == ("one/main.tex", "one", "On the Poincaré lemma & friends")
    assert first.text == BODY
    assert (second.title, second.text) == ("Part a", "\\section{Part $a$}\nText.\n")
    assert read(folder / "one" / "main.tex")[0].source == "LaTeX"


@pytest.mark.parametrize(
    ("latex", "words"),
    [
        (r"Erd\H{o}s and G\"odel, \v{C}ech, Fran\c{c}ais, na\"{\i}ve", "Erdős and Gödel, Čech, Français, naïve"),
        (r"\textbf{Bold}~moves \\ twice", "Bold moves twice"),
        (r"{\em A}\&B: 50\%", "A&B: 50%"),
    ],
)
def test_titles_are_plain_words(latex, words):
    assert plain_words(latex) == words


def test_a_title_that_is_empty_or_never_closed_gives_way_to_the_next():
    assert title_of(r"\title{} \section*{Next}") == "Next"
    assert title_of(r"\title{open " + "x" * 1000) == ""
    assert without_comments(r"a \% b % c" + "\n% d\n") == r"a \% b " + "\n"


def test_a_folder_is_what_most_of_its_bytes_are(tmp_path):
    folder = write_files(
        tmp_path / "c", {"a.md": "# A\n", "b.py": "x = 1\n" * 10, "settings.json": '{\n"a": 1\n}' * 99}
    )
    assert choose(folder, None) == "code"
    write_files(folder, {"part.jsonl": '{"text": "t"}\n' * 99})
    assert choose(folder, None) == "jsonl"
    write_files(folder, {"long.txt": "long " * 9999})
    assert choose(folder, None) == "text"
    assert [document.title for document in read(folder, reader="code")] == ["a.md", "b.py", "long.txt"]


def test_an_empty_folder_or_one_of_unknown_files_is_refused(tmp_path):
    folder = write_files(tmp_path / "c", {"a.xyz": "?", ".hidden.jsonl": "{}"})
    with pytest.raises(CorpusError, match="c is not a file or folder that a reader knows"):
        read(folder)
    with pytest.raises(CorpusError, match="c holds no document"):
        read(folder, reader="text")


def test_a_name_that_is_no_utf8_is_shown_with_a_mark(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x", encoding="utf-8")
    except OSError:
        pytest.skip("this file system keeps names in UTF-8 only")
    assert read(tmp_path)[0].title == "caf�.txt"
