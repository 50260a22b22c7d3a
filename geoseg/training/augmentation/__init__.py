"""What is changed in training patches at random."""
