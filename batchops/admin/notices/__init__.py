"""The pages of notices: the inbox of each person, and what an open page asks now and then."""
