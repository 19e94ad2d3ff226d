"""A page to draw on: the exported generator runs in the browser, on LiteRT.js."""
