"""Questions in, figures with intervals out."""
