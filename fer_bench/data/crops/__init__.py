"""From a picture to the square crop a network sees: recipes, the user's choice of one, face detectors."""
