"""What a browser needs to show explanations: the schema of the view, the payload and the web modules."""
