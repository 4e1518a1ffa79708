"""The HTTP API: commands through ``commands``, answers through ``queries``, in the words of the command line."""
