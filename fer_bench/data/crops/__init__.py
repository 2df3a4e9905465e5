"""From a decoded picture to a square crop: recipes, the user's choice of a recipe, face detectors."""
