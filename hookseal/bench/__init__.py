"""Measurements: load, sink, report."""
