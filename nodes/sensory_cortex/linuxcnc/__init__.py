"""LinuxCNC behind the driver of that name: the processes beside it, what they say, and what follows from it."""
