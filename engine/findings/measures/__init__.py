"""A measurement of each finding, one module each: ``measure(study) -> Found``."""
