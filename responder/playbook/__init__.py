"""Playbooks: schema, loading, index, and the rendering of steps and conditions."""
