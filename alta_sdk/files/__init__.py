"""Reading tables, writing files whole or not at all, holding them against other processes."""
