"""The static site: the suite's board and a page per paper, read from files in git alone."""
