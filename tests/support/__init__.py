"""Servers, samples and children that the tests use."""
