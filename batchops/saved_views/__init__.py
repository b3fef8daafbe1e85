"""How people look at the batch list: their columns and rows a page, and the views they save.

A view is an address of the list under a name. What it finds, the list alone decides.
"""
