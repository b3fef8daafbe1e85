"""Single sign-on by OpenID Connect: what a provider says, and what that gives here."""
