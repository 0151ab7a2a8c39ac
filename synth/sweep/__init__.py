"""Several runs from one command line (--multirun): their folders, and what is said of them together."""
