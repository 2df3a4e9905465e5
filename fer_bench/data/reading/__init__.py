"""Reading official files: the reader contract and what readers share."""
