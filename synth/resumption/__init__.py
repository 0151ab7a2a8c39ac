"""Which run a folder holds, whether a configuration may go on with it, and what of it is left."""
