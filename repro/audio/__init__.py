"""Speech: recordings and synthesis, features, pronunciations, batches."""
