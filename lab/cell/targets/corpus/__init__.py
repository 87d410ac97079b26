"""Functions whose right advice is known, with the answers in ``corpus.toml``: ``lab selftest --scale`` measures them.

The folder is a project as a user's: a cell imports its files by their paths.
"""
