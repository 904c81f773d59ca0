"""Scores of other programs as a run that every page opens: :func:`engine.importing.run.import_scores`."""
