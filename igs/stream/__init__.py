"""The online engine: schedule, predict, refine, emit."""
