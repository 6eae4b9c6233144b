"""PhotoMaker, version 2: two tokens of each photo, of an identity embedding as well as of CLIP."""
