"""One file per subcommand: options, one call, one summary.

Heavy libraries are imported inside the commands, so that ``geoseg --help`` is fast.
"""
