"""How each finding is measured: a module per claim, of its name, with one public function ``measure(study)``."""
