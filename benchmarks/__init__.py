"""Scripts that print the figures of the documents. Run one of them with --help to see what it measures."""
