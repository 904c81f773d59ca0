"""Stack Exchange dumps and arXiv metadata: questions joined with answers, HTML as text, titles as people read them."""

import json
import tracemalloc

import pytest
from readings import compressed, read, read_counting, write_files
from toys import write_jsonl

from engine import CorpusError, read_corpus
from engine.readers.choice import choose
from engine.readers.html import html_to_text

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
BEANS = "&lt;p&gt;I have beans &amp;amp; a jar.&lt;/p&gt;"
POSTS = [
    f'<row Id="1" PostTypeId="1" AcceptedAnswerId="4" Score="5" Title="How do I keep  beans?" Body="{BEANS}" />',
    '<row Id="2" PostTypeId="2" ParentId="1" Score="9" Body="&lt;p&gt;Freeze them.&lt;/p&gt;" />',
    '<row Id="3" PostTypeId="1" Score="0" Title="Unanswered" Body="&lt;p&gt;Why?&lt;/p&gt;" />',
    '<row Id="4" PostTypeId="2" ParentId="1" Score="2" Body="&lt;p&gt;Keep them dark.&lt;/p&gt;" />',
    '<row Id="5" PostTypeId="5" Body="a wiki" />',
    '<row Id="6" PostTypeId="2" ParentId="1" Score="30" Body="&lt;p&gt;Drink them.&lt;/p&gt;" />',
    '<row Id="7" PostTypeId="2" ParentId="99" Body="&lt;p&gt;To what?&lt;/p&gt;" />',
]
XML = HEAD + "\n".join(POSTS) + "\n</posts>\n"
JOINED = "Q: How do I keep beans?\n\nI have beans & a jar.\n\nA: Keep them dark.\n\nA: Drink them.\n\nA: Freeze them."


def test_a_question_is_joined_with_its_answers_the_accepted_one_first(tmp_path):
    folder = write_files(tmp_path / "coffee.stackexchange.com", {"Posts.xml": XML, "Comments.xml": "<comments/>"})
    assert choose(folder, None) == "stackexchange"
    (first, second), skipped = read_counting(folder)
    assert first.text == JOINED
    assert (first.id, first.title, first.source) == ("1", "How do I keep beans?", "coffee.stackexchange.com")
    assert (second.text, second.title) == ("Q: Unanswered\n\nWhy?", "Unanswered")
    assert skipped == {
        "posts that are neither question nor answer": 1, "answers without their question": 1, "files of another kind": 1
    }  # fmt: skip


def test_several_sites_and_compressed_dumps_are_read(tmp_path):
    content = compressed(XML.encode(), ".zst")
    found = read(write_files(tmp_path, {"tea.example.com/Posts.xml": XML, "cocoa/Posts.xml.zst": content}))
    assert [(document.id, document.source) for document in found] == [
        ("cocoa/1", "Stack Exchange"), ("cocoa/3", "Stack Exchange"),
        ("tea.example.com/1", "tea.example.com"), ("tea.example.com/3", "tea.example.com"),
    ]  # fmt: skip
    assert read(tmp_path / "cocoa" / "Posts.xml.zst")[0].text == JOINED


BOMB = '<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n'
THIEF = '<!DOCTYPE posts [<!ENTITY file SYSTEM "file:///etc/passwd">]>\n'


@pytest.mark.parametrize("entity", [BOMB, THIEF, "<!DOCTYPE posts>"])
def test_xml_that_declares_entities_is_refused(entity, tmp_path):
    path = write_files(tmp_path, {"Posts.xml": f'<?xml version="1.0"?>\n{entity}<posts>&file;</posts>'}) / "Posts.xml"
    with pytest.raises(
        CorpusError, match=r"Posts\.xml, line 2: a document type declaration .* take the file from the dump"
    ):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + POSTS[0], r"Posts\.xml: not valid XML \(no element found: line 3"),
        (HEAD + "<row Id=1 />", r"not valid XML \(not well-formed .*line 3"),
        ("", r"not valid XML \(no element found"),
        (HEAD + '<row PostTypeId="1" Title="T" />\n</posts>', "line 3: Id is None, not a number"),
        (HEAD + '<row PostTypeId="2" Id="x" />\n</posts>', "line 3: Id is 'x', not a number .* mend the row"),
        (HEAD + "</posts>", "holds no document"),
        (XML.encode("utf-8").replace(b"beans", b"b\xe9ans"), "not valid XML .*invalid token"),
    ],
)
def test_a_broken_dump_is_named_with_its_line(content, message, tmp_path):
    path = write_files(tmp_path, {"Posts.xml": content}) / "Posts.xml"
    with pytest.raises(CorpusError, match=message):
        read(path)


def test_a_dump_is_never_in_memory_as_a_whole(tmp_path):
    """8 MB of posts: as one text, or in a tree, they would take more than that."""
    body = "&lt;p&gt;" + "word" * 500 + "&lt;/p&gt;"
    rows = (
        f'<row Id="{2 * n}" PostTypeId="1" Title="Question {n}" Body="{body}" />\n'
        f'<row Id="{2 * n + 1}" PostTypeId="2" ParentId="{2 * n}" Body="{body}" />\n'
        for n in range(2_000)
    )
    with (tmp_path / "Posts.xml").open("w") as file:
        file.write(HEAD.lstrip("\ufeff"))
        file.writelines(rows)
        file.write("</posts>")
    tracemalloc.start()
    try:
        assert sum(document.text.count("A: word") for document in read_corpus(tmp_path)) == 2_000
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One\n  two</p><p>three <b>four</b>five</p>", "One two\n\nthree fourfive"),
        ("<ul>\n<li>a</li>\n<li><p>b</p></li></ul><p>c</p>", "- a\n- b\n\nc"),
        ("<p>Try</p>\n<pre><code>if x &lt; 1:\n    y()\n</code></pre>\n<p>now</p>", "Try\n\nif x < 1:\n    y()\n\nnow"),
        ("a<br>b<br/> c &mdash; <img src=x alt='pic'> <a href='u'>link</a>", "a\nb\nc — pic link"),
        ("<script>evil()</script><p>$x^2$ &amp;lt;</p><style>p{}</style>", "$x^2$ &lt;"),
        ("<blockquote><p>quoted</p></blockquote>text", "quoted\n\ntext"),
        ("<table><tr><th>a</th><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("no tags, a < b", "no tags, a < b"),
        ("<p>never closed <pre>kept\n  so", "never closed\n\nkept\n  so"),
        ("", ""),
    ],
)
def test_html_becomes_the_text_that_readers_see(html, text):
    assert html_to_text(html) == text


ABOUT = {
    "id": "0704.0001", "submitter": "A. B.", "title": "Calculation of\n  cross sections", "abstract": "  We compute.\n",
    "categories": "hep-ph math.CO", "versions": [{"version": "v1"}],
}  # fmt: skip


@pytest.mark.parametrize("name", ["arxiv-metadata-oai-snapshot.json", "a.jsonl"])
def test_arxiv_metadata_are_known_by_their_fields(name, tmp_path):
    path = write_jsonl(tmp_path / name, [ABOUT, ABOUT | {"id": "2", "categories": "math.CO"}])
    first, second = read(path)
    assert first.text == "Calculation of cross sections\n\nWe compute."
    assert (first.id, first.title, first.source) == ("0704.0001", "Calculation of cross sections", "arXiv hep-ph")
    assert second.source == "arXiv math"
    assert choose(tmp_path, None) == "arxiv"
    assert read(tmp_path)[1] == second


def test_arxiv_metadata_without_an_abstract_name_the_line(tmp_path):
    path = write_jsonl(tmp_path / "a.json", [ABOUT, {**ABOUT, "id": "2", "abstract": None}])
    with pytest.raises(CorpusError, match="a.json, line 2: field `abstract` is missing"):
        read(path)
    path.write_text(json.dumps([ABOUT]), encoding="utf-8")
    with pytest.raises(CorpusError, match="line 1: a JSON list, not an object .*jq -c"):
        read(path)
