"""Key figures of an arm, the same whether a simulator or the log of a service gave them."""
