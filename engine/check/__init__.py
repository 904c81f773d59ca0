"""Do influences predict what happens? Checks against exact answers and against training itself."""
