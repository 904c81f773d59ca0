"""Words and numbers as pages and reports show them, as plain text; whoever shows it escapes it for its place.

Text of documents and titles is never trusted: what it hides is made visible here.
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import regex

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian",
    "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "und": "Unknown", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
MEASUREMENTS = {
    "log_prob": "Log-probability of the completion",
    "logit": "Logits of the completion's tokens",
    "margin": "Margin of the completion's tokens over all others",
    "contrast": "Log-probability of the completion minus that of its alternative",
    "imported": "Whatever the imported scores measure",
}
HIDDEN_NAMES = {
    0x00: "NUL", 0x08: "BS", 0x0D: "CR", 0x1B: "ESC", 0x7F: "DEL", 0xAD: "SHY", 0x61C: "ALM", 0x180E: "MVS",
    0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LSEP", 0x2029: "PSEP",
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2060: "WJ", 0x2066: "LRI",
    0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xFEFF: "BOM",
}  # fmt: skip
_JOINING = "".join(
    rf"\p{{Script={name}}}"
    for name in ("Arab", "Syrc", "Mong", "Deva", "Beng", "Guru", "Gujr", "Orya", "Taml", "Telu", "Knda", "Mlym", "Sinh")
)
_HIDDEN = regex.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
    r"|\r(?!\n)"
    # joiners and variation selectors belong to emoji and to scripts that join; elsewhere they hide something
    rf"|(?<![\p{{Extended_Pictographic}}\ufe0f\U0001f3fb-\U0001f3ff\p{{M}}{_JOINING}])[\u200c\u200d]"
    r"|(?:(?<=[\s\p{Latin}\ufe00-\ufe0f])|^)[\ufe00-\ufe0f]"
)


def show_hidden(text: str, mark: str = "⟦{}⟧") -> str:
    """Text with its hidden characters visible: bidi controls, zero width, tags, control characters.

    Args:
        text: Any text.
        mark: What takes a character's place; ``{}`` is its name.
    """
    return _HIDDEN.sub(lambda found: mark.format(_hidden_name(ord(found[0]))), text)


def visible_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Text in pieces: what each one says, and the name of the hidden character it is, empty where it is plain text."""
    at = 0
    for found in _HIDDEN.finditer(text):
        if found.start() > at:
            yield text[at : found.start()], ""
        yield found[0], _hidden_name(ord(found[0]))
        at = found.end()
    if at < len(text):
        yield text[at:], ""


def _hidden_name(code: int) -> str:
    if 0xE0020 <= code <= 0xE007E:
        return f"TAG {chr(code - 0xE0000)}"
    return HIDDEN_NAMES.get(code, f"U+{code:04X}")


def plain(text: str, limit: int = 200) -> str:
    """Untrusted text on one line for a place that shows plain text: a table, an option."""
    line = " ".join(show_hidden(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def number(value: float, digits: int = 3) -> str:
    """A signed number with ``digits`` significant digits, as ``+1,230`` or ``−0.00456``."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not a number"
    rounded = f"{abs(value):.{digits - 1}e}"
    sign, exponent = "+" if value > 0 else "−", int(rounded.split("e")[1])
    if not -5 <= exponent < 9:
        return sign + rounded
    return f"{sign}{float(rounded):,.{max(digits - 1 - exponent, 0)}f}"


def size(value: float, digits: int = 3) -> str:
    """A number without sign, as :func:`number` writes it."""
    return number(abs(value), digits).lstrip("+")


def correlation(value: float) -> str:
    """A correlation, or another number from -1 to 1, as ``0.41`` or ``−0.02``."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def share(value: float) -> str:
    """A share of 1 as percent."""
    if value < 0:
        return f"−{share(-value)}"
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def language(code: str) -> str:
    """A language's name; its code where there is none here."""
    return LANGUAGES.get(code, code)


def duration(seconds: float) -> str:
    """A length of time in the unit that fits."""
    if seconds < 1:
        return "less than a second"
    for size, name in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'s' if count != 1 else ''}"
    raise AssertionError(seconds)


def between(row: Mapping[str, Any], name: str) -> str:
    """A number of a result with its 95% interval: ``0.19 (0.15 to 0.24)``; a dash where it has none."""
    if row[name] is None or row[name] != row[name]:
        return "–"
    low, high = (correlation(row[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{correlation(row[name])} ({low} to {high})"


def date(text: str) -> str:
    """An ISO time of the manifest, readable."""
    try:
        moment = time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return text
    return f"{moment.tm_mday} {time.strftime('%B %Y, %H:%M', moment)} UTC"
