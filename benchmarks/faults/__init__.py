"""Faults put into small runs of every family, one after another; see `__main__.py`."""
