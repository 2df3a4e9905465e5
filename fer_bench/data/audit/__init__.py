"""Checking and describing data: `verify`, copies across splits, the contract suite, sheets and pages."""
