"""The artifact store: arrays and files published whole or not at all."""
