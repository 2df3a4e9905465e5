"""What a run leaves behind: its record, scores, predictions and folder in the store."""
