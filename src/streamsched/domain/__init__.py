"""The rules of streamsched, pure: no I/O, no clock, the standard library only."""
