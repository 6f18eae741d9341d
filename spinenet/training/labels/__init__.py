"""Scans whose vertebral bodies and discs people labelled, read from the forms in which they are shared."""
