"""Headers for an index, read some ten times as fast as by pydicom where they leave no doubt."""
