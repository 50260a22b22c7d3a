def legend() -> None:
    """."""
