"""Variants are what their names say, keep the text's shape, and know where each word was."""

import random

import pytest
from toys import TEXTS

from engine import WhenceError
from engine.variants import (
    LABELS,
    Variant,
    VariantSettings,
    make_variants,
    occurrences,
    remove,
    reverse_sentences,
    reverse_words,
    rewrite,
    sentences,
    shuffle_nearby,
    shuffle_words,
    unchanged,
    words,
)

LANGUAGES = {
    "English": "Velmora lies on the gulf.\n\nIt was founded by Oren Tasvik, they say. Who was he?",
    "German": "Der Leuchtturm steht auf dem Felsen; er ist hundert Jahre alt. „Wirklich?“ Ja.",
    "Turkish": "İskele sabah dokuzda açılır. Velmora'nın feneri eski.",
    "Swahili": "Mji wa Velmora ulianzishwa zamani. Bandari ni kubwa.",
    "Korean": "벨모라는 만에 있다.\n등대는 바위 위에 서 있다.",
    "Chinese": "灯塔在岩石上。它很老！  谁造的？",
    "Japanese": "灯台は岩の上に立つ。コーヒーを飲む。",
    "Chinese and English": "我 love Velmora 市的harbour view，very much。再见 now",
    "code": "def area(width, height):\n    return width * height\n",
    "odd": " \t one\u00a0two  🚀 e\u0301 é\r\n\r\nthree ",
}
every_language = pytest.mark.parametrize("text", LANGUAGES.values(), ids=list(LANGUAGES))


def word_list(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


def spaces(text: str) -> list[str]:
    """What lies before, between and after the words."""
    edges = [0, *(place for span in words(text) for place in span), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def moved(original: str, variant: Variant) -> bool:
    """Whether each word of the variant is the original's word that its origin names, each named once."""
    before = word_list(original)
    named = [before[word] for _, _, word in variant.origin]
    here = [variant.text[start:end] for start, end, _ in variant.origin]
    return named == here and sorted(word for _, _, word in variant.origin) == list(range(len(before)))


def test_words_are_runs_without_spaces_and_characters_where_a_script_writes_none():
    assert word_list("Kesh's door, \n 12-30!") == ["Kesh's", "door,", "12-30!"]
    assert word_list("등대는 서 있다.") == ["등대는", "서", "있다."]
    assert word_list("灯塔在GPT-4上。") == ["灯", "塔", "在", "GPT-4", "上", "。"]
    assert word_list("コーヒーだ") == list("コーヒーだ")
    assert word_list(" \n ") == []


@every_language
def test_words_and_sentences_leave_nothing_out_but_white_space(text):
    assert not "".join(spaces(text)).strip()
    edges = [0, *(place for span in sentences(text) for place in span), len(text)]
    assert not "".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)).strip()


def test_sentences_end_at_their_marks_and_at_the_end_of_a_line():
    text = 'He asked: "Why?" It is 3.5 m. \n A title\n灯塔。很老！Yes…'
    found = [text[start:end] for start, end in sentences(text)]
    assert found == ['He asked: "Why?"', "It is 3.5 m.", "A title", "灯塔。", "很老！", "Yes…"]


@every_language
def test_reversing_twice_gives_the_words_back(text):
    once = reverse_words(text)
    assert word_list(once.text) == word_list(text)[::-1]
    assert word_list(reverse_words(once.text).text) == word_list(text)
    assert moved(text, once)


@every_language
def test_white_space_stays_where_it_was(text):
    if text != LANGUAGES["Chinese and English"]:  # there a space keeps two words apart
        for variant in (reverse_words(text), shuffle_words(text), shuffle_nearby(text, 3)):
            assert spaces(variant.text) == spaces(text)


def test_two_words_never_become_one():
    assert reverse_words("我love you").text == "you love 我"


@every_language
def test_shuffles_are_permutations_that_the_seed_draw_and_text_decide(text):
    for shuffle in (shuffle_words, shuffle_nearby):
        draws = [shuffle(text, seed=seed, draw=draw) for seed in (0, 1) for draw in range(3)]
        assert all(moved(text, draw) for draw in draws)
        assert [draw.draw for draw in draws] == [0, 1, 2] * 2
        assert len({draw.text for draw in draws}) > 2
        before = random.getstate()
        assert shuffle(text, seed=1, draw=2) == draws[-1]
        assert random.getstate() == before  # nobody else's random numbers change


@every_language
@pytest.mark.parametrize("size", [2, 5])
def test_a_window_shuffle_keeps_each_windows_words(text, size):
    shuffled = [word for _, _, word in shuffle_nearby(text, size).origin]
    for first in range(0, len(shuffled), size):
        window = shuffled[first : first + size]
        assert sorted(window) == list(range(first, first + len(window)))


def test_reversed_sentences_keep_their_words_in_order():
    variant = reverse_sentences("One is here. Two?\n\nThree\n")
    assert variant.text == "Three Two?\n\nOne is here.\n"
    assert [word for _, _, word in variant.origin] == [4, 3, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "string", "left"),
    [
        ("Founded by Oren Tasvik.", " Oren Tasvik", "Founded by."),
        ("OREN  tasvik was here; (oren\nTasvik) said so. Oren Tasvik", " Oren Tasvik.", "was here; () said so."),
        ("  Oren ran.\n  oren sat.", "Oren", "  ran.\n  sat."),
        ("7 and 42 make 49, not 142 or 42.5", " 42", "7 and make 49, not 142 or 42.5"),
        ("7.42 and 42, 42.", "42", "7.42 and,."),
        ("Orens Oren", "oren", "Orens"),
        ("벨모라는 크다. 큰 벨모라!", "벨모라", "는 크다. 큰!"),
        ("城市Velmora很大", "velmora", "城市很大"),
        ("他是灯塔看守", "灯塔", "他是看守"),
        ("a b b c", "b", "a c"),
        ("b b b", "b", ""),
        ("call f(x) now", "(", "call fx) now"),
        ("Die STRASSE endet", "straße", "Die endet"),
    ],
)
def test_what_is_removed_is_gone_wherever_it_stood_and_whatever_its_case(text, string, left):
    variant = remove("completion_removed", text, string)
    assert variant is not None
    assert variant.text == left
    assert not occurrences(left, string)
    before = word_list(text)
    for start, _, word in variant.origin:
        assert word is not None
        assert variant.text[start] in before[word]


def test_what_is_left_of_a_word_is_still_that_word():
    variant = remove("completion_removed", "It was founded by (Oren Tasvik) in 1200, by Oren Tasvik.", "oren tasvik")
    assert variant.text == "It was founded by () in 1200, by."
    assert [(variant.text[start:end], word) for start, end, word in variant.origin] == [
        ("It", 0), ("was", 1), ("founded", 2), ("by", 3), ("()", 4), ("in", 6), ("1200,", 7), ("by.", 8),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "string"), [("Oren", "Tasvik"), ("Oren", "  "), ("", "Oren"), ("Orensburg", "Oren")])
def test_nothing_is_made_where_nothing_stands_to_be_removed(text, string):
    assert remove("completion_removed", text, string) is None


def test_a_given_text_shares_the_words_that_stay_in_order():
    variant = rewrite("edit", "the old grey lighthouse stands", "the grey\n tower stands here", draw=1)
    assert [word for _, _, word in variant.origin] == [0, 2, None, 4, None]
    assert word_list(variant.text) == ["the", "grey", "tower", "stands", "here"]
    assert variant.draw == 1
    assert all(word is None for _, _, word in rewrite("edit", "", "new words").origin)


def test_the_original_comes_first_and_each_variant_says_something_else():
    text = "The ferry leaves the grey harbour at nine. It comes back."
    settings = VariantSettings(draws=2, texts={"edit": "The ferry stays.", "relation_flipped": text})
    made = make_variants(text, " the grey harbour", "ferry", settings)
    assert made[0] == unchanged(text)
    assert made[0].text == text
    assert [word for _, _, word in made[0].origin] == list(range(11))
    assert [(one.name, one.draw) for one in made[1:]] == [
        ("words_reversed", 0), ("words_shuffled", 0), ("words_shuffled", 1), ("words_shuffled_nearby", 0),
        ("words_shuffled_nearby", 1), ("sentences_reversed", 0), ("completion_removed", 0),
        ("subject_removed", 0), ("edit", 0),
    ]  # fmt: skip
    assert all(one.text != text and one.name in LABELS for one in made[1:])


@pytest.mark.parametrize("text", ["", " \n", "one"])
def test_a_text_that_nothing_can_be_done_to_has_no_variant(text):
    assert [one.text for one in make_variants(text, "two", "", VariantSettings())] == [text]


@pytest.mark.parametrize("text", [*TEXTS, *LANGUAGES.values()])
def test_every_variant_lists_its_own_words(text):
    for one in make_variants(text, text[3:9], text[:2], VariantSettings(draws=1, texts={"edit": text[::-1]})):
        assert [(start, end) for start, end, _ in one.origin] == words(one.text)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"draws": 0}, "draws is 0"), ({"window_words": 1}, "window_words is 1"), ({"texts": {"mine": "a"}}, "'mine'")],
)
def test_settings_that_make_no_variant_are_refused(wrong, sentence):
    with pytest.raises(WhenceError, match=sentence):
        VariantSettings(**wrong)
