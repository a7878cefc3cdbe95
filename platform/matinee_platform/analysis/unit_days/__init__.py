"""What the units of an experiment did on each day, in one form, whatever log it was read from."""
