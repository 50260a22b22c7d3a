"""The model bundle, the network inside it, and what runs it."""
