"""Who makes which record when: the plan, the scheduler, and the workers that Ray places."""
