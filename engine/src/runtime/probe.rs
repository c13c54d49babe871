//! What this machine offers and what is missing, each with its cure.
