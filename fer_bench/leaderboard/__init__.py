"""From the run store to pages: a pure function, so the same store gives the same bytes."""
