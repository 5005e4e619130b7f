"""What people do from Slack: buttons and the command, by signed HTTPS or by Socket Mode, under the rules of the API."""
