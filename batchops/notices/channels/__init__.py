"""How notices leave: an outbox, and workers that deliver it in order, at least once, with an end.

A message is put into the outbox in the transaction of its notice. It has an id by which a receiver
can tell a repeat, and says the same however often it is sent.
"""
