"""Ways to turn text into batches, each in the same terms: tokenise and pack, first batch."""
