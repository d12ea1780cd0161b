"""A new paper directory, from one that is there or from a template, green before the first edit."""
