"""Model factories and heads that transformers lacks."""
