"""JSON: records by a fast road and a plain one, arrays, and the values that a column takes."""
