"""FDI's operations by resource: one method for each."""
