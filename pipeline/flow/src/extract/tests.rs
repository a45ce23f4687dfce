//! Byte vectors and laws of extraction.
