"""`make bench-detect`: how surely, how soon and how far after the touch a crash is found, and how often nothing is."""
