"""What a run tells of itself to those who watch: figures for Prometheus and OpenTelemetry, events
for OpenLineage. Knows values, and neither pipelines nor tables.
"""
