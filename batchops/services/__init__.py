"""All that changes, counts or puts into words: one package a subject.

Called by the worker (`tasks`), the pages (`admin`) and the commands (`management`). The modules
beside the packages are what several of them need.
"""
