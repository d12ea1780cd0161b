"""From rows to verdicts: collection, paired statistics, judgement."""
