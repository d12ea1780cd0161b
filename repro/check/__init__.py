"""The dry run of a profile: every model built on the meta device, no data, no GPU."""
