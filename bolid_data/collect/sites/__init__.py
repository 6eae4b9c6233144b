"""Known sites: selectors are data, parsers are pure functions from HTML to items."""
