"""Everything that travels into a cell: Python 3.9's syntax, the standard library, and nothing else.

``cpus`` reads the CPUs of a process, ``claims`` is what an experiment declares and says, ``measuring`` is its toolkit,
``experiments`` has a file for each experiment, and ``worker`` is the process that every engine starts.
"""
