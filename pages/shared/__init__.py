"""What all pages share: the session and its address, the sidebar, background tasks, the server's settings."""
