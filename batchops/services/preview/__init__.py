"""What a draft would do, in numbers and words: summary, risks, forecast. It changes nothing.

Called by the pages and commands that ask a person to confirm.
"""
