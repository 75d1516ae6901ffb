"""The command wfctl."""
