"""A file of each kind that users have, written by an early version and read by this one."""
