"""The hub between the bus and browsers. Empty until the dashboard is built; the name is reserved for import contracts."""
