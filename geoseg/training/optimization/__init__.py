"""What a training minimises, and by which steps."""
