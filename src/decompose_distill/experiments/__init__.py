"""Every decomposer with every solver, as one resumable study."""
