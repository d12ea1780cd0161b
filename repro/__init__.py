"""Declarative reproductions of papers on pre-training and language understanding."""
