"""Pipeline and environment files: what may stand in them, and how they are read."""
