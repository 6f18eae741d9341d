"""A cohort: its manifest, the frozen plan, what is committed, and the tables that come of it."""
