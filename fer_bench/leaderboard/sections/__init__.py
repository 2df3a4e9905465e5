"""The sections of the page, one file each: from tables to the values that its template shows."""
