"""The names of what lies in a state folder."""

SPOOL = "spool"
LOCK = "service.lock"
