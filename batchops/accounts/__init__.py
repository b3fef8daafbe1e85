"""People come in safely: tries held back, known devices, sessions that end, second factors."""
