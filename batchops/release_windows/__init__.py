"""When outreach may be let reach more people: freezes, beside the hours of `RESUME_WINDOWS`.

They hold back what expands outreach, and never a pause. Asked by the life of a change, its run, the
preview and the pages of what is upcoming.
"""
