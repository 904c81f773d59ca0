"""The tokenizer of an imported run: that of the model which was scored, else words and punctuation marks."""

import hashlib
from typing import Any

import regex

WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]")


class Words:
    """Called as a Hugging Face tokenizer is: words of a text, and single characters between them, as its tokens."""

    def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
        """Of each text ``input_ids``, the same for the same word, and ``offset_mapping`` in characters."""
        found = [list(WORD.finditer(text)) for text in texts]
        return {
            "input_ids": [[_id(one[0]) for one in words] for words in found],
            "offset_mapping": [[one.span() for one in words] for words in found],
        }


def tokenizer_of(model: str | None) -> Any:
    """The tokenizer of a model; of None, words.

    Raises:
        ModelError: If it cannot be loaded, or gives no characters for its tokens.
    """
    if model is None:
        return Words()
    from engine.loading import load_tokenizer

    return load_tokenizer(model)


def _id(word: str) -> int:
    """A number of 31 bits; two words share one so rarely that lexical scores do not notice."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little") >> 1
