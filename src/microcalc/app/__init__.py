"""The local viewer: a server on the user's own machine, and the page that it serves.

Needs the extra: ``pip install ".[app]"``.
"""
