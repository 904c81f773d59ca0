"""Settings of reading a corpus: what is not seen from the file or folder itself."""

from dataclasses import dataclass

DETECT = "detect"


@dataclass(frozen=True)
class ReadingSettings:
    """Settings of reading a corpus.

    Attributes:
        reader: What the corpus is read by; None to choose by what it is. ``python -m engine corpus``
            shows the choice.
        source: Source of every document; None for what the corpus says.
        language: Language of every document, for example ``en``; ``detect`` to have it told from the text of documents
            that do not say it; None for what the corpus says.
        text_column: Column or field of JSONL, Parquet, CSV or a dataset that holds the text, ``a.b`` for a field within
            a field; None for ``text``, else ``raw_content`` or ``content``.
        id_column: The same for what documents are called by; None for ``id``, else file and number.
        source_column: The same for the source; None for ``source`` or where the Pile and RedPajama keep it.
        language_column: The same for the language; None for ``language``, ``lang`` or within ``meta``, ``metadata``.
        title_column: The same for the title; None for ``title``, also within ``meta``, else the text's first words.
        subset: Of a Hugging Face dataset that has several configurations: which one.
        split: Of a Hugging Face dataset: which split.
    """

    reader: str | None = None
    source: str | None = None
    language: str | None = None
    text_column: str | None = None
    id_column: str | None = None
    source_column: str | None = None
    language_column: str | None = None
    title_column: str | None = None
    subset: str | None = None
    split: str = "train"

    @property
    def detects_language(self) -> bool:
        return self.language == DETECT

    @property
    def every_language(self) -> str | None:
        """Language of every document, where one was given."""
        return None if self.detects_language else self.language
