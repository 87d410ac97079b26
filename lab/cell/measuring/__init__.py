"""The toolkit of the experiments: rounds of blocks, the crew that works in them, and their payloads."""
