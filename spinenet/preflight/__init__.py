"""Predicts, before a run, which scans would be read and what they would take."""
