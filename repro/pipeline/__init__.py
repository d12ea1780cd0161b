"""Runs, keys, store and dispatch. The only place that knows a scheduler."""
