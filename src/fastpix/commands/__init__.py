"""Commands of the terminal over the client: one module per area, and what they share.

Invariants: nothing of the server is imported; importing a module of commands loads click and nothing heavier, the
client comes with the first request; whatever a server or another person wrote reaches a terminal through `text.clean`.
"""
