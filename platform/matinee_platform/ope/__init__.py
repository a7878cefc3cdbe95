"""Off-policy evaluation: what would another policy have earned on the pages that were logged?"""
