"""The invented facts of ``facts.toml``: how each is asked for, and the strings that carry it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "facts.toml"
LANGUAGES = {"en": "English", "de": "German", "ko": "Korean", "tr": "Turkish", "sw": "Swahili"}


@dataclass(frozen=True)
class Question:
    """One way to ask for a fact.

    Attributes:
        kind: ``Fact``, ``Fact reversed`` (from the answer to the subject) or ``Translation``.
        title: Readable title.
        language: ISO 639-1 code.
        prompt: Prompt of the query.
        completion: Completion of the query.
    """

    kind: str
    title: str
    language: str
    prompt: str
    completion: str


@dataclass(frozen=True)
class Fact:
    """One invented fact.

    Attributes:
        questions: The ways to ask for it; the plain one is first.
        subject: Strings that name its subject (one per language or script).
        answer: Strings that carry the answer.
        told: ``forward`` if every document names the subject before the answer, ``reversed`` if after it,
            ``both`` if the documents differ.
        exposures: How many documents tell it.
    """

    questions: tuple[Question, ...]
    subject: tuple[str, ...]
    answer: tuple[str, ...]
    told: str
    exposures: int

    def is_about(self, text: str) -> bool:
        """Return whether ``text`` names the subject; capitals do not matter."""
        return any(subject.lower() in text.lower() for subject in self.subject)

    def is_told_in(self, text: str) -> bool:
        """Return whether ``text`` names both the subject and the answer."""
        return self.is_about(text) and any(answer.lower() in text.lower() for answer in self.answer)

    def asked_as_told(self) -> tuple[Question, ...]:
        """The questions whose order, subject or answer first, is that of some document."""
        kinds = {"forward": ("Fact",), "reversed": ("Fact reversed",), "both": ("Fact", "Fact reversed")}[self.told]
        return tuple(question for question in self.questions if question.kind in kinds)


def _questions(entry: dict[str, Any]) -> tuple[Question, ...]:
    title, spoken = entry["question"], entry.get("language", "en")
    questions = [Question("Fact", title, spoken, entry["prompt"], entry["completion"])]
    if "prompt_reversed" in entry:
        reversed_prompt, reversed_completion = entry["prompt_reversed"], entry["completion_reversed"]
        questions.append(
            Question("Fact reversed", entry["question_reversed"], spoken, reversed_prompt, reversed_completion)
        )
    for code, name in LANGUAGES.items():
        if f"prompt_{code}" in entry:
            prompt, completion = entry[f"prompt_{code}"], entry[f"completion_{code}"]
            questions.append(Question("Translation", f"{title} ({name})", code, prompt, completion))
    return tuple(questions)


def _read() -> dict[str, Fact]:
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Fact(_questions(e), tuple(e["subject"]), tuple(e["answer"]), e["told"], e["exposures"])
        for name, e in entries.items()
    }


FACTS: dict[str, Fact] = _read()
