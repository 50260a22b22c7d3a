"""What pixels mean: legends, references, the confusion matrix, colours."""
