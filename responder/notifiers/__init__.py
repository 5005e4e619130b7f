"""One channel a file: how an incident's account is sent there and edited."""
