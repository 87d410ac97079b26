"""The commands: one module each with HELP, EXAMPLE, ``configure(parser)`` and ``run(options) -> exit code``.

``lab --help`` imports them all, so what is heavy is imported inside their functions.
"""
