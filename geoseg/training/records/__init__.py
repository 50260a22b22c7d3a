"""What a training leaves behind: history, checkpoint, pictures, run.json."""
