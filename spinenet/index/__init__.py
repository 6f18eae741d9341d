"""What an archive holds: every series below a root, whether it is usable, and which is to be graded."""
