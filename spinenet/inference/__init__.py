"""Inference on one scan: detect the vertebrae, label them, grade the discs."""
