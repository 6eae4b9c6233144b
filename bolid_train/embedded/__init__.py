"""Networks whose weights ship with BoLID, so that it works offline. Model cards are in `weights/`."""
