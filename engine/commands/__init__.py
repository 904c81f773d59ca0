"""The verbs of the command line by theme: flags to function calls, nothing else (torch is loaded when called)."""
