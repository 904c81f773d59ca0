"""Documents that show how something is computed, step by step.

The wordings stand in ``texts/worked/`` with names such as ``{rise}`` for numbers; the numbers
are computed here, so that every worked example is right.
"""

from sample_data.stock import TEXTS, Draft, read_stock

Point = tuple[int, int]

SLOPE_POINTS: list[tuple[Point, Point]] = [
    ((1, 2), (3, 8)), ((0, 5), (4, 13)), ((2, 1), (6, 21)), ((1, 9), (4, 3)), ((3, 4), (8, 39)),
    ((2, 7), (5, 19)), ((0, 1), (7, 43)), ((5, 2), (9, 34)), ((1, 6), (2, 15)), ((4, 30), (10, 12)),
]  # fmt: skip

# The ones of every pair sum to more than ten: each example has a carry to explain.
SUM_PAIRS: list[tuple[int, int]] = [
    (47, 36), (58, 27), (19, 64), (35, 48), (76, 17), (29, 53), (68, 25), (14, 77), (39, 45), (57, 28),
    (26, 66), (49, 34),
]  # fmt: skip


def slope_numbers(first: Point, second: Point) -> dict[str, int]:
    """Return every number that a worked slope example may show."""
    (x1, y1), (x2, y2) = first, second
    rise, run = y2 - y1, x2 - x1
    assert rise % run == 0, "the slope of a worked example is a whole number"
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "rise": rise, "run": run, "slope": rise // run}


def sum_numbers(a: int, b: int) -> dict[str, int]:
    """Return every number that a worked addition may show."""
    ones, tens = a % 10 + b % 10, a // 10 + b // 10 + 1
    assert ones > 10, "the ones of a worked addition carry"
    return {
        "a": a, "b": b, "total": a + b, "ones": ones, "keep": ones - 10, "tens": tens,
        "ones_a": a % 10, "ones_b": b % 10, "tens_a": a // 10, "tens_b": b // 10,
        "to_ten": 10 - a % 10, "next_ten": a + 10 - a % 10, "rest": b - 10 + a % 10,
    }  # fmt: skip


def worked(procedure: str, numbers: list[dict[str, int]]) -> list[Draft]:
    """Fill the wordings of one procedure with numbers; wordings start over when they run out."""
    wordings = read_stock(TEXTS / "worked" / f"{procedure}.txt", language="en")
    drafts = []
    for index, values in enumerate(numbers):
        wording = wordings[index % len(wordings)]
        title, text = wording.title.format(**values), wording.text.format(**values)
        tags = {"procedure": procedure, "form": "worked"}
        drafts.append(Draft(title, text, wording.source, "en", tags))
    return drafts


def worked_examples() -> list[Draft]:
    """Return the worked examples of both procedures."""
    return worked("slope", [slope_numbers(*points) for points in SLOPE_POINTS]) + worked(
        "addition", [sum_numbers(*pair) for pair in SUM_PAIRS]
    )
