"""Logs: how each server writes its lines, and what they become."""
