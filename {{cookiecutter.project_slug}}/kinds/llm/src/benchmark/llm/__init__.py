"""What stands between the four files and a server: which one, how to ask, what can go wrong."""
