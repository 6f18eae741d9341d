"""Drawn things that are no spine, as scans: what a reader of spines must leave alone."""
