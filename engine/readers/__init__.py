"""One reader per corpus format; each yields :class:`engine.corpus.Document` one at a time."""
