"""The doctor: whether a real instance behaves as this provider assumes. ``command.py`` is its way in."""
