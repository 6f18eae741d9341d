"""Dask clusters: local ones are started and supervised, existing ones connected to by address."""
