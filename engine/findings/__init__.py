"""The literature's findings, each tested on a run: a claim, a rule fixed beforehand, figures, a verdict (no torch)."""
