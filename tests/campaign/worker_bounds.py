"""Loaded by the workers of a campaign: scales their bounds."""

from .scaled import scale

scale()
