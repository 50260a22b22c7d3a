"""A class map becomes a better one: smoothed, filled, without specks."""
