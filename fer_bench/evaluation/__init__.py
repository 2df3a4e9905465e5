"""From stored predictions to numbers: scores, transfer and uncertainty; never a model or a GPU."""
