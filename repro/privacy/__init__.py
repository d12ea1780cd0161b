"""Differential privacy: accountants, per-example gradients, the private gradient, fine-tuning."""
