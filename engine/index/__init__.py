"""The index of a run: each document's whitened gradient in a few kilobytes, to find what a question may be owed to."""
