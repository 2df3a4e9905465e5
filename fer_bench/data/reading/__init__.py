"""Reading official files: the base class of readers and what readers share."""
