"""Where photos come from: a gallery site, a list of addresses, a folder, a lock file."""
