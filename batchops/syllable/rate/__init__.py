"""Sending as often as the vendor allows: learns its rate, and holds requests back by it.

`limiter` is what the client and the push engine wait for, `estimate` what is learnt, `headers` what
replies say of it.
"""
