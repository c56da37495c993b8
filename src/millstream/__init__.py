"""millstream: any model, any client, every token as it happens."""
