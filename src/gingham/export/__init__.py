"""A tagger in the form of another runtime, and the proof that its answers are the same."""
