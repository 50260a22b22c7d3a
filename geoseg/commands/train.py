def train() -> None:
    """."""
