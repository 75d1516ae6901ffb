"""The crash campaign: runs of mixed shape while workers and the server are killed, then an audit of what is left."""
