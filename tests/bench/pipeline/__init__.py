"""The bare pipeline: the messages of jetrun's normal path and nothing else, as a yardstick beside jetrun."""
