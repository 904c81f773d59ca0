"""Text on every shade of the token strip can be read in both themes: WCAG 2.2, criterion 1.4.3, computed exactly."""

import re
import tomllib

import pytest

from dashboard.components.token_strip import HERE
from engine.machine import repository_folder

LEAST = 4.5
CSS = (HERE / "token_strip.css").read_text("utf-8")
SHADES = {
    name: (tuple(int(part) for part in colour.split()), float(alpha))
    for name, colour, alpha in re.findall(r"\.([pm]\d+) \{ background: rgb\(([\d ]+) / ([\d.]+)\); \}", CSS)
}
FADED = {name: float(opacity) for name, opacity in re.findall(r"([.\w ]+?) \{[^}]*?opacity: ([\d.]+)", CSS)}
LEVELS = int(re.findall(r"LEVELS = (\d+)", (HERE / "token_strip.js").read_text("utf-8"))[0])

Colour = tuple[float, ...]
"""Red, green and blue from 0 to 255."""


def theme(name: str) -> dict[str, Colour]:
    """Colours of a theme as the pages use them."""
    config = tomllib.loads((repository_folder() / ".streamlit" / "config.toml").read_text("utf-8"))
    colours = {key: value for key, value in config["theme"][name].items() if key.endswith("Color")}
    return {key: tuple(bytes.fromhex(value[1:])) for key, value in colours.items()}


def over(colour: Colour, alpha: float, below: Colour) -> Colour:
    """A colour that lets ``1 - alpha`` of what is below through."""
    return tuple(alpha * one + (1 - alpha) * other for one, other in zip(colour, below, strict=True))


def luminance(colour: Colour) -> float:
    """Relative luminance of an sRGB colour, from 0 to 1 (WCAG 2.2)."""
    linear = [c / 12.92 if (c := part / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast((0, 0, 0), (255, 255, 255)) == 21
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)  # the known limit of grey


def test_there_is_a_shade_for_every_level_of_both_signs():
    assert set(SHADES) == {f"{sign}{level}" for sign in "pm" for level in range(1, LEVELS + 1)}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_on_every_shade_has_contrast(name):
    """The least is 6.2, of the strongest orange in the dark theme; at full strength it would be 3.2."""
    colours = theme(name)
    for shade, (colour, alpha) in SHADES.items():
        found = contrast(colours["textColor"], over(colour, alpha, colours["backgroundColor"]))
        assert found >= LEAST, (shade, found)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_tokens_to_choose_and_faded_words_have_contrast(name):
    colours = theme(name)
    text, ground = colours["textColor"], colours["backgroundColor"]
    assert contrast(text, colours["secondaryBackgroundColor"]) >= LEAST
    assert contrast(ground, colours["primaryColor"]) >= LEAST  # a chosen token
    assert ".newline" not in FADED, "line breaks stand on shades, where faded text lacks contrast"
    for rule, opacity in FADED.items():
        assert contrast(over(text, opacity, ground), ground) >= LEAST, rule


def test_the_report_shades_tokens_as_the_strip_does():
    """So that the contrast found for one holds for the other."""
    written = (repository_folder() / "engine" / "report" / "report.css").read_text("utf-8")
    strip, report = (re.findall(r"\.[pm]\d+ \{[^}]*\}", css) for css in (CSS, written))
    assert len(strip) == 2 * LEVELS
    assert report == strip
