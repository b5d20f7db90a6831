"""The hub between the bus and browsers. Empty until it is built; import contracts name it."""
