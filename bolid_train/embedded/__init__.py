"""Networks whose weights ship with BoLID, so that everything works offline. Model cards are in `weights/`."""
