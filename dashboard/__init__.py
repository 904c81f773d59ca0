"""The browser pages: what they show comes from :mod:`dashboard.data` alone."""
