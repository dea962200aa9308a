"""What models of configuration files are made of: descriptions, JSON Schema, columns of sources."""
