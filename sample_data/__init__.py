"""The embedded sample: a small invented corpus, queries about it, and a model trained on it."""
