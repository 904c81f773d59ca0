"""Reviewing documents: who decided what of which document, kept as events that nothing changes or deletes."""
