def predict() -> None:
    """."""
