"""Questions from files and dataset hubs."""
