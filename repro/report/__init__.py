"""From verdicts to what people read: results files, plots, cards, the board, and dvc.yaml."""
