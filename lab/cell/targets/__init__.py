"""Own code in a cell: how a target is found and called, how its speed is measured, and what explains the result."""
