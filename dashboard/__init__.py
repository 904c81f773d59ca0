"""The browser pages: what they show comes through :mod:`dashboard.runs`, ``data``, ``jobs`` and ``analyses`` alone."""
