"""Measurements that take minutes: not part of the tests, each one command that prints a table and writes JSON."""
