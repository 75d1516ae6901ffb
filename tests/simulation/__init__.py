"""The simulation: real workers over the in-memory twin, in virtual time, with every fault that a seed can draw."""
