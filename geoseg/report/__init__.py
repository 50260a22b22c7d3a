"""Metrics, maps and runs as pages and pictures; what a file or folder is."""
