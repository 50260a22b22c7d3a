"""Metrics, maps and runs as pages and images; descriptions of files and folders."""
