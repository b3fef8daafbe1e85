"""What pages show of what is going on: the overview, the progress of a change, what is upcoming.

Called by the pages and commands. It changes nothing.
"""
