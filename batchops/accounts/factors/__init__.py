"""Second factors: what a person has besides the password, who needs one, and how it is checked."""
