"""A path becomes one scan, or the reason why it cannot."""
