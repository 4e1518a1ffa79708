"""Commands: each writes a fact into the journal and finds out whether it took effect."""
