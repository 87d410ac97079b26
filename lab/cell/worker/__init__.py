"""What runs inside a cell: takes proof, runs the experiments, emits records.

Everything below this package, :mod:`lab.cell.experiments` and :mod:`lab.cell.claims.estimates` is shipped into the cell
and runs there on whatever Python the cell has: the standard library only, in Python 3.9's syntax."""
