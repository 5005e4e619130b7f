"""What both store adapters share: the ports' statements, row mapping, the anchored clock and error translation."""
