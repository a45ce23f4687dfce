//! Text vectors and the round-trip law.
