"""Runs as TensorBoard, MLflow and W&B show them. Readers of the store only: no run knows of them,
and none of these libraries is needed for anything else."""
