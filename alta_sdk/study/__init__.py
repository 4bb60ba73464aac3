"""From files to four slots: which radiograph stands where, and which study is the prior."""
