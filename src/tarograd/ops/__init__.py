"""The calculus: every primitive, one visual block each, in the order of the textbook."""
