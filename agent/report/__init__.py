"""`parley report`: what the store tells about the last hours or days."""
