"""From a trained model to pictures of one's own: opening it, predicting, and what is made of the answers."""
