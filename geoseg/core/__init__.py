"""Pure values and algorithms on numpy: no files, no network."""
