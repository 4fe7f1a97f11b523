"""How fast the engine is, beside what anyone could use instead, and how its cost grows."""
