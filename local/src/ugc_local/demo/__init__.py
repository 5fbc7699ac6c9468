"""A day of an online cinema, from HTTP to an analyst's answer, compared with the truth."""
