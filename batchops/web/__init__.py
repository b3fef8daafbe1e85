"""What a web process does around the pages: requests, health, emergency pauses."""
