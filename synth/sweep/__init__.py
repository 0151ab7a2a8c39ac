"""Several runs from one command line (--multirun): their folders, and their common table and page."""
