"""Where the embedded models come from: run by hand, never by a command."""
