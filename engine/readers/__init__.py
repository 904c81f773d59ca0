"""One reader per corpus format, chosen in :mod:`engine.readers.choice`.

A reader yields documents one at a time as ``(place, fields)``: where one stands, for errors, and what is known of it
under the names of :class:`engine.corpus.Document`. What it leaves out, :func:`engine.corpus.read_corpus` fills in.
"""
