"""Before an experiment: does the analysis keep its word on past data, and what could be found?"""
