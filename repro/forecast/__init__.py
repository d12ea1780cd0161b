"""What a profile will cost, before any of it is submitted: ranges, and from what they are known."""
