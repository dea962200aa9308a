"""Distributed batch inference on Apache Spark."""
