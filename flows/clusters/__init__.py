"""A cluster's name becomes the address of a Dask scheduler with workers."""
