"""Lineage: asset URIs and events, and OpenLineage."""
