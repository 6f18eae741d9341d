"""A path becomes bytes: files, archives, and the limits to what they may hold."""
