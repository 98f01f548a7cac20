"""Stand-ins of the services that Parley talks to, over real sockets."""
