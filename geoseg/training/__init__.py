"""A patch set becomes a model bundle."""
