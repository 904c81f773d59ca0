"""Where a layer lies in the network, by its name."""

import re


def block_of(layer: str) -> int | None:
    """Number of the block that a layer lies in; None where its name holds none."""
    found = re.search(r"(?<=\.)\d+(?=\.)", layer)
    return int(found[0]) if found else None
