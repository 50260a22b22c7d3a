"""What a training reads: patches, their order, their places."""
