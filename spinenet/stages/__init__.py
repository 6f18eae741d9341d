"""The steps of one scan's computation: arrays in, arrays out, and no storage."""
