"""Writing trained generators for servers, phones and browsers, and checking what was written."""
