"""Steps divided into jobs that the workers of a Dask cluster do."""
