"""What a page opened without a browser says."""

KINDS = ("title", "subheader", "markdown", "caption", "info", "warning", "error")


def words(app) -> str:
    """All running text of a Streamlit AppTest, as the page wrote it."""
    return "\n".join(str(element.value) for kind in KINDS for element in app.get(kind))
