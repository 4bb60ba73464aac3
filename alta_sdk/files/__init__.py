"""Reading tables, and writing files whole or not at all."""
