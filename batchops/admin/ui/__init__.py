"""What pages are made of: pills, bars, times, fields, addresses, problem pages."""
