"""The corporate cortex: users, inventory, orders, history. Empty until it is built; import contracts name it."""
