"""Corpora, tasks, shards, masking and batches."""
