"""A small synthetic town, seen straight from above."""
