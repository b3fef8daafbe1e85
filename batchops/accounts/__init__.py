"""People come in safely: tries to sign in are held back, and known devices have their own."""
