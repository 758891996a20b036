"""A small controlled world with a scripted teacher and a database as solver, for the demo."""
