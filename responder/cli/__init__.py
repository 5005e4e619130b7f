"""The command line: one command a file, speaking HTTP to a running responder."""
