"""Fine-tuning, metrics, ensembles, probes and scoring."""
