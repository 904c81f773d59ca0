"""Influence tables -> the tables that pages show; one file per question, no torch."""
