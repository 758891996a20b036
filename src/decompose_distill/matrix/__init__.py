"""The paper in one command: every decomposer with every solver, as a study."""
