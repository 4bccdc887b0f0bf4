"""What all pages share: the state of a session and its address, the sidebar, the server's settings."""
