"""Corrections of Faust, mode and aiokafka, one file per defect; docs/faust.md is the index."""
