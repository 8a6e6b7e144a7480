"""What an operator sets: files, the environment, the command line, and where a value comes from."""
