"""Decomposer, solver, and the pipeline that runs one after the other."""
