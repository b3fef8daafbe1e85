"""People come in safely: sign-in, sessions, tries that are held back, known devices."""
