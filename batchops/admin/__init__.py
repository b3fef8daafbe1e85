"""The screens, on Django's admin. One module for each thing that is looked at.

Registered by `BatchopsAdminConfig`, since the site itself lives in this package.
"""
