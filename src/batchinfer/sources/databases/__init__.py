"""Databases: addresses, what differs between them, the SQL that reads them, and typed rows."""
