"""Configuration edge: gin text -> resolved tree, digests, diff, blame. The only importer of gin."""
