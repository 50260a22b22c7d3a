"""Orthophotos and references become a patch set; what is wrong with one."""
