"""Pictures for the documentation: messages as Slack shows them, drawn by a browser."""
