"""Errors that a user can cause, each with a sentence that says what to do.

The command line prints the sentence and exits with 2; a page shows it in ``st.error``.
"""


class WhenceError(ValueError):
    """What is wrong, with its value -- why it matters -- what to do."""


class CorpusError(WhenceError):
    """A corpus or query file cannot be read as it stands."""


class ModelError(WhenceError):
    """A model cannot be loaded, or cannot be tracked as asked."""


class RunError(WhenceError):
    """A run folder does not hold what the request needs, or holds something else."""


class FormatError(RunError):
    """A run was written in a format that this version does not read."""


class Cancelled(Exception):
    """The user cancelled the work in hand; what was finished before stays."""
