"""The flat people of the small world: drawn from the front, with a body of eight numbers."""
