"""Learns a finding of a user's own from the discs or vertebrae that a run has found."""
