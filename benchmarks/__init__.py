"""How fast, at what cost, beside what it cannot be faster than.

One worker process on a real broker, with nginx for the receiver. Next to it, over the same
events: an agent that does nothing, which is Faust's share, and a loop of plain requests,
which is HTTP's.
"""
