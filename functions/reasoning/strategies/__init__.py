"""Ways to reason: each is a plan of steps, worked out from the steps that are finished."""
