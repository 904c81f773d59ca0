"""What several verbs share: two flags, and how JSON is printed."""

import argparse
import json
from typing import Any


def add_run(parser: argparse.ArgumentParser) -> None:
    """The flag of a verb on a run."""
    parser.add_argument("--run", required=True, help="folder of the run")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The flag for other programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(records: list[dict[str, Any]]) -> None:
    """Print rows as JSON; null for what is not a number."""
    from engine.export import without_nan

    plain = [without_nan(record) for record in records]
    print(json.dumps(plain, indent=2, ensure_ascii=False, default=lambda value: value.item()))
