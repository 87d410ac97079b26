"""The process that every engine starts in a cell: it takes the proof, runs the experiments and writes the records.

All of :mod:`lab.cell` travels into the cell. It runs there on the cell's own Python, so it uses the standard library
only, and Python 3.9's syntax.
"""
