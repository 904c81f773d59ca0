"""Live questions: a completion that is typed, or made up by the model, traced to its documents while one waits."""
