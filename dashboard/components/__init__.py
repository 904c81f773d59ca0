"""Pieces that pages are made of: the token strip, charts, tables, job progress."""
