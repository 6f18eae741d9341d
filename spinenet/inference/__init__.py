"""One scan's computation: detect, name, grade."""
