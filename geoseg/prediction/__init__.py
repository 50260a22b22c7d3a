"""A model and rasters become class maps: the stream of window scores."""
