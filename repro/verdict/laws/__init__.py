"""Laws that losses and scores are fitted to over sizes, tokens and compute.

A law is fitted per seed; what a claim decides on is the Student-t interval of one of its quantities
over seeds (`repro.verdict.judge`, kind `fit`). `bootstrap` gives intervals over the runs.
"""
