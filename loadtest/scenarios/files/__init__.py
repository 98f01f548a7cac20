"""The scenarios that ship: `parley bench list`."""
