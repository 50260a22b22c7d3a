def mosaic() -> None:
    """."""
