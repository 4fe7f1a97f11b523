"""One training at a time: runs wait for their turn, and a process is ready beforehand."""
