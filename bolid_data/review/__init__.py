"""`bolid review`: a page on this machine, on which a person looks through the photos and decides. It reads the catalog
query by query, and writes what the commands for decisions and captions by hand write, through the same functions."""
