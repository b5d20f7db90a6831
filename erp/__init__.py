"""The corporate cortex: users, inventory, orders, history. Empty until the ERP is built; the name is reserved for import contracts."""
