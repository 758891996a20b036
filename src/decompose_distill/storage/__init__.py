"""Files that survive a kill: whole or absent, appended durably, read strictly."""
