"""Collecting traces: durable, resumable, within a budget."""

from decompose_distill.collection.collector import Collected as Collected
from decompose_distill.collection.collector import collect as collect
