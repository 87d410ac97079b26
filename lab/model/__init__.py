"""The nouns of the lab, as frozen data."""
