"""Where measurers run: on threads of this machine, or on a Ray cluster."""
