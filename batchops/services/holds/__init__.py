"""Holds: a batch stays paused until the last person who paused it, or who may override, lets go.

A pause leaves a hold on each batch that it paused or found paused. Lifted by changes that resume,
and by whoever resumes a batch outside batchops. Called by drafts, the push and the mirror.
"""
